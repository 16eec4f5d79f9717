"""One test for each front end of the family, with the library that it is made with."""
