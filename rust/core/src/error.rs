//! What can go wrong, in the words that the caller needs.

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument that cannot be used.
    #[error("{argument}: {message}")]
    Invalid {
        /// The name of the argument.
        argument: String,
        /// What is wrong with it.
        message: String,
    },
    /// A computation needs a piece that the user's loss or noise does not have.
    #[error("{piece} is needed but was not given")]
    Missing {
        /// The missing piece.
        piece: String,
    },
    /// A compiled callback returned a code other than 0.
    #[error("a callback stopped the run with code {code}")]
    Callback {
        /// The code.
        code: i32,
    },
    /// An exception of a user's callback, carried through unchanged.
    #[error(transparent)]
    Foreign(Box<dyn std::error::Error + Send + Sync>),
    /// A worker broke down: a defect of this library, not of its caller.
    #[error("a defect of optsde, please report it: {message}")]
    Defect {
        /// What the worker said.
        message: String,
    },
    /// The run was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(argument: impl Into<String>, message: impl Into<String>) -> Self {
        Error::Invalid { argument: argument.into(), message: message.into() }
    }

    /// An [`Error::Missing`].
    pub fn missing(piece: impl Into<String>) -> Self {
        Error::Missing { piece: piece.into() }
    }
}

/// The result of a computation that can fail.
pub type Result<T> = std::result::Result<T, Error>;
