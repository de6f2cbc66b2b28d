//! What goes wrong around a server: disks, networks, descriptors, clocks, and its own sudden end.

mod disks;
mod fuse;
