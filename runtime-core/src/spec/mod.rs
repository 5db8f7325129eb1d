//! ROOM 1: config.json loaded and checked; the default one of `planc spec`.
