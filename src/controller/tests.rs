//! The controller as a whole, against a world of its own.

mod thirty_days;
