//! Users of an import: neighbours share their syncs.

use klatch_ports::api::ServiceResult;
use klatch_ports::api::auth::NewUser;
use klatch_ports::api::import::{ImportItem, ImportOutcome};
use klatch_protocol::hash;

use super::Session;

impl Session {
    pub(super) async fn users(
        &mut self,
        items: Vec<ImportItem>,
        outcomes: &mut Vec<ImportOutcome>,
    ) -> ServiceResult<()> {
        let mut wanted = Vec::new();
        let mut places = Vec::new();
        for item in items {
            let ImportItem::User { id, username, display_name, email, bot, created_at } = item
            else {
                continue;
            };
            let external = hash::external_id("user", &id);
            let repeated = wanted.iter().any(|user: &NewUser| user.external == Some(external));
            if repeated || self.user(external).await?.is_some() {
                outcomes.push(ImportOutcome::Skipped);
                continue;
            }
            places.push(outcomes.len());
            outcomes.push(ImportOutcome::Added);
            wanted.push(NewUser {
                display_name: display_name.or_else(|| username.clone()).unwrap_or(id.clone()),
                username: username.unwrap_or(id),
                email,
                bot,
                created_at: created_at.unwrap_or_else(|| self.service.deps.clock.now()),
                external: Some(external),
            });
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let externals: Vec<_> = wanted.iter().filter_map(|user| user.external).collect();
        let made = self.service.deps.provisioner.provision(wanted).await?;
        for ((made, place), external) in made.into_iter().zip(places).zip(externals) {
            match made {
                Ok((user, position)) => {
                    self.users.insert(external, user);
                    self.note(position);
                }
                Err(rejection) => {
                    if let Some(outcome) = outcomes.get_mut(place) {
                        *outcome = ImportOutcome::Refused(rejection.into());
                    }
                }
            }
        }
        Ok(())
    }
}
