//! The only door to Docker's Engine, and to Podman through the same interface. Behind it: where the Engine is (`place`), who asks
//! (`credentials`), the connection (`engine`) and its words (`message`). What comes out are plain values; `bollard` stays inside.

mod credentials;
mod engine;
mod message;
mod place;

pub(crate) use self::{
    credentials::{Credentials, find as credentials},
    engine::{Engine, EngineError, Facts, Order},
    message::{Message, SHORT, Short, Step},
    place::{Place, PlaceError, Surroundings},
};
