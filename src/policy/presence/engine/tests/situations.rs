//! Situations, one by one: what is known, and what is to be done.
