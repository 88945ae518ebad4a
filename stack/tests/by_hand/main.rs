//! The engine with nothing around it: endpoints, and datagrams passed by hand.

mod addresses;
mod announced;
mod arbitrary;
mod asked;
mod attacks;
mod copies;
mod declared;
mod ends;
mod growing;
mod hand;
mod hostile;
mod memberships;
mod opening;
mod paths;
mod seeds;
mod silence;
mod stalls;
