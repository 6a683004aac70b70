//! rotation.
