//! Login as the engine asks for it: an authenticator and a user provider that read the session's [`Desk`].

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::block_in_place;
use unftp_core::auth::{
    AuthenticationError, Authenticator, Credentials, Principal, UserDetail, UserDetailError, UserDetailProvider,
};

use super::backend::{Homes, Room};
use super::{Claim, Desk, NotLetIn};
use crate::accounts::{Account, Accounts};

/// Somebody who was let in, and the home that is theirs.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub account: Arc<Account>,
    pub room: Arc<Room>,
}

impl UserDetail for Visitor {}

impl fmt::Display for Visitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.account.name)
    }
}

/// Decides who comes in. The claim lies on the desk; what the engine passes along is a constant.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    pub desk: Arc<Desk>,
    pub accounts: Arc<Accounts>,
    pub homes: Arc<Homes>,
}

impl Doorkeeper {
    async fn check(&self, claim: Claim) -> Result<Visitor, NotLetIn> {
        match claim {
            Claim::Ticket(visitor) => Ok(visitor),
            Claim::Password { name, password, caller } => {
                let check =
                    self.desk.gone.run_until_cancelled(self.accounts.authenticate(&name, password.as_deref(), &caller));
                let account = check.await.ok_or(NotLetIn::Unavailable)?.map_err(NotLetIn::Refused)?;
                let room = block_in_place(|| self.homes.room(&account)).map_err(|error| {
                    let home = account.home.display();
                    tracing::error!(%error, %home, account = account.name, "the home directory cannot be opened");
                    NotLetIn::NoHome
                })?;
                Ok(Visitor { account, room: Arc::new(room) })
            }
        }
    }
}

#[async_trait]
impl Authenticator for Doorkeeper {
    async fn authenticate(&self, _: &str, _: &Credentials) -> Result<Principal, AuthenticationError> {
        let Some(claim) = self.desk.papers().claim.take() else {
            return Err(AuthenticationError::BadUser);
        };
        let admitted = self.check(claim).await;
        let answer = match &admitted {
            Ok(visitor) => Ok(Principal { username: visitor.account.name.clone() }),
            Err(_) => Err(AuthenticationError::BadPassword),
        };
        self.desk.papers().admitted = Some(admitted);
        answer
    }
}

/// Gives the engine what the doorkeeper has found out.
#[derive(Debug)]
pub(super) struct Guestbook(pub Arc<Desk>);

#[async_trait]
impl UserDetailProvider for Guestbook {
    type User = Visitor;

    async fn provide_user_detail(&self, principal: &Principal) -> Result<Visitor, UserDetailError> {
        match &self.0.papers().admitted {
            Some(Ok(visitor)) => Ok(visitor.clone()),
            _ => Err(UserDetailError::UserNotFound { username: principal.username.clone() }),
        }
    }
}
