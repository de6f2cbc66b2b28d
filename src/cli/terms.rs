//! The flags of `longshore user` and `longshore group`: one for each key of the accounts file.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::accounts::edit::Changes;
use crate::accounts::file::{Form, Key, typed_keys};

/// What is typed about a user, or about a group.
#[derive(Debug, Clone)]
pub(super) struct Terms<const OF_GROUPS: bool>(pub Changes);

/// What is typed about a user.
pub(super) type UserTerms = Terms<false>;

/// What is typed about a group.
pub(super) type GroupTerms = Terms<true>;

impl<const OF_GROUPS: bool> Args for Terms<OF_GROUPS> {
    fn augment_args(command: Command) -> Command {
        command.args(typed_keys(OF_GROUPS).map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const OF_GROUPS: bool> FromArgMatches for Terms<OF_GROUPS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut terms = Self(Changes::default());
        terms.update_from_arg_matches(matches)?;
        Ok(terms)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for key in typed_keys(OF_GROUPS) {
            if let Some(typed) = matches.get_many::<String>(key.name) {
                self.0.type_in(key, &typed.cloned().collect::<Vec<_>>());
            }
        }
        Ok(())
    }
}

fn flag(key: &'static Key) -> Arg {
    let flag = Arg::new(key.name).long(key.name.replace('_', "-")).help(key.help);
    match key.form {
        Form::Hidden => flag.hide(true),
        Form::Text(value) => flag.value_name(value),
        Form::Number => flag.value_name("N"),
        Form::List(value) => flag.value_name(value).action(ArgAction::Append),
        Form::Permissions => flag.value_name("WORDS").action(ArgAction::Append),
        Form::Switch => flag.value_name("BOOL").num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}
