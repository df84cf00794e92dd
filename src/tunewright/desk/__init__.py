"""The data desk: checks, repairs, augmentation and labelling of data files, on the parts that training uses."""
