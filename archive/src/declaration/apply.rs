//! Making the catalogue say what is declared: rows are found by code, added or brought up to date, never removed.

use std::collections::HashMap;

use super::{Change, Declaration, DeclaredUser};
use crate::Archive;
use crate::db::{Tx, Value, params};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{CoreServerId, FtpAccountId, PbxId, ResellerId, TenantId, TierId, TokenId, UserId};

/// Password hashes that declared passwords need, by table and login. Made before the transaction: hashing is slow.
pub(super) type Secrets = HashMap<(&'static str, String), String>;

/// A row to be: the table, the column that names it, its name, and its other columns.
struct Row<'a> {
    table: &'static str,
    kind: &'static str,
    key: &'static str,
    name: &'a str,
    columns: Vec<(&'static str, Value)>,
    disabled: bool,
}

impl Archive {
    /// A declared password that already fits keeps its hash, so that applying again changes nothing.
    pub(super) async fn hash_secrets(&self, declaration: &Declaration) -> Result<Secrets> {
        let users = declaration.users.iter().map(|it| ("users", &it.login, &it.password, &it.password_hash));
        let accounts =
            declaration.ftp_accounts.iter().map(|it| ("ftp_accounts", &it.login, &it.password, &it.password_hash));
        let mut secrets = Secrets::new();
        for (table, login, password, hash) in users.chain(accounts) {
            let sql = match table {
                "users" => "SELECT password_hash FROM users WHERE login = $1",
                _ => "SELECT password_hash FROM ftp_accounts WHERE login = $1",
            };
            let present: Option<String> = match self.db.fetch_optional(sql, params![login]).await? {
                Some(row) => Some(row.get("password_hash")?),
                None => None,
            };
            let hash = match (hash, password, present) {
                (Some(hash), _, _) => hash.clone(),
                (None, Some(password), present) => {
                    if self.passwords.verify(password, present.clone()).await? {
                        present.unwrap_or_default()
                    } else {
                        self.passwords.hash(password).await?
                    }
                }
                (None, None, Some(present)) => present,
                (None, None, None) => {
                    return Err(Error::Invalid(format!(
                        "\"{login}\": a new login needs a password or a password_hash"
                    )));
                }
            };
            secrets.insert((table, login.clone()), hash);
        }
        Ok(secrets)
    }

    pub(super) async fn put_all(
        &self,
        tx: &mut Tx,
        declaration: &Declaration,
        secrets: &Secrets,
    ) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        self.put_sellers(tx, declaration, &mut changes).await?;
        self.put_pbxs(tx, declaration, &mut changes).await?;
        self.put_core_servers(tx, declaration, &mut changes).await?;
        self.put_users(tx, declaration, secrets, &mut changes).await?;
        self.put_ftp_accounts(tx, declaration, secrets, &mut changes).await?;
        Ok(changes)
    }

    async fn put_sellers(&self, tx: &mut Tx, declaration: &Declaration, changes: &mut Vec<Change>) -> Result<()> {
        for it in &declaration.resellers {
            let columns = vec![("name", Value::from(&it.name))];
            let id = ResellerId::new(self.clock.now());
            let row = Row {
                table: "resellers",
                kind: "reseller",
                key: "code",
                name: &it.code,
                columns,
                disabled: it.disabled,
            };
            let reseller = self.put(tx, &row, id.into(), changes).await?;
            if self.put_limits(tx, "reseller", reseller, it.limits(), it.overbook).await? {
                note_changed(changes, "reseller", &it.code);
            }
        }
        for it in &declaration.tiers {
            let reseller = match &it.reseller {
                Some(code) => find(tx, "resellers", "reseller", code, "tier", &it.code).await?,
                None => Value::Bytes(None),
            };
            let [days, quota_bytes, quota_audio_ms, quota_recordings] = it.limits().values();
            let columns = vec![
                ("reseller_id", reseller),
                ("name", Value::from(&it.name)),
                ("days", days),
                ("quota_bytes", quota_bytes),
                ("quota_audio_ms", quota_audio_ms),
                ("quota_recordings", quota_recordings),
                ("format", Value::from(&it.format)),
                ("bitrate_bps", Value::from(it.bitrate)),
                ("stores", Value::from(it.stores.join(" "))),
                ("copies", Value::from(it.copies.map(i64::from))),
                ("moves", Value::from(serde_json::to_string(&it.moves).expect("moves are numbers and names"))),
            ];
            let id = TierId::new(self.clock.now());
            let row = Row { table: "tiers", kind: "tier", key: "code", name: &it.code, columns, disabled: it.disabled };
            self.put(tx, &row, id.into(), changes).await?;
        }
        for it in &declaration.tenants {
            let columns = vec![
                ("reseller_id", find(tx, "resellers", "reseller", &it.reseller, "tenant", &it.code).await?),
                ("tier_id", find(tx, "tiers", "tier", &it.tier, "tenant", &it.code).await?),
                ("name", Value::from(&it.name)),
                ("time_zone", Value::from(&it.time_zone)),
            ];
            let id = TenantId::new(self.clock.now());
            let row =
                Row { table: "tenants", kind: "tenant", key: "code", name: &it.code, columns, disabled: it.disabled };
            let tenant = self.put(tx, &row, id.into(), changes).await?;
            if self.put_limits(tx, "tenant", tenant, it.limits(), false).await? {
                note_changed(changes, "tenant", &it.code);
            }
        }
        Ok(())
    }

    async fn put_pbxs(&self, tx: &mut Tx, declaration: &Declaration, changes: &mut Vec<Change>) -> Result<()> {
        for it in &declaration.pbxs {
            let tenant = find(tx, "tenants", "tenant", &it.tenant, "PBX", &it.code).await?;
            let moved = tx
                .fetch_optional(
                    "SELECT 1 AS one FROM pbxs WHERE code = $1 AND tenant_id <> $2",
                    vec![Value::from(&it.code), tenant.clone()],
                )
                .await?;
            if moved.is_some() {
                return Err(Error::Invalid(format!(
                    "PBX \"{}\": belongs to another tenant, whose recordings it has; it cannot be moved by applying a file",
                    it.code
                )));
            }
            let tier = match &it.tier {
                Some(code) => find(tx, "tiers", "tier", code, "PBX", &it.code).await?,
                None => Value::Bytes(None),
            };
            let columns = vec![("tenant_id", tenant), ("name", Value::from(&it.name)), ("tier_id", tier)];
            let id = PbxId::new(self.clock.now());
            let row = Row { table: "pbxs", kind: "PBX", key: "code", name: &it.code, columns, disabled: it.disabled };
            let pbx = self.put(tx, &row, id.into(), changes).await?;
            if self.put_policy(tx, pbx, it.limits()).await? {
                note_changed(changes, "PBX", &it.code);
            }
        }
        Ok(())
    }

    async fn put_core_servers(&self, tx: &mut Tx, declaration: &Declaration, changes: &mut Vec<Change>) -> Result<()> {
        for it in &declaration.core_servers {
            let now = self.clock.now();
            let after = serde_json::to_string(&it.after)
                .map_err(|error| Error::Invalid(format!("core server \"{}\": {error}", it.name)))?;
            let columns = vec![
                ("spool", Value::from(it.spool.to_string_lossy().into_owned())),
                ("layout", Value::from(&it.layout)),
                ("pattern", Value::from(it.pattern.clone())),
                ("time_zone", Value::from(&it.time_zone)),
                ("after", Value::from(after)),
            ];
            let id = CoreServerId::new(now);
            let row = Row {
                table: "core_servers",
                kind: "core server",
                key: "name",
                name: &it.name,
                columns,
                disabled: it.disabled,
            };
            let server = self.put(tx, &row, id.into(), changes).await?;
            for (token, code) in &it.aliases {
                let pbx = find(tx, "pbxs", "PBX", code, "core server", &it.name).await?;
                let changed = tx
                    .execute(
                        "INSERT INTO pbx_aliases (core_server_id, token, pbx_id) VALUES ($1, $2, $3)
                         ON CONFLICT (core_server_id, token) DO UPDATE SET pbx_id = excluded.pbx_id
                         WHERE pbx_aliases.pbx_id <> excluded.pbx_id",
                        vec![server.clone(), Value::from(token), pbx],
                    )
                    .await?;
                if changed > 0 {
                    note_changed(changes, "core server", &it.name);
                }
            }
        }
        Ok(())
    }

    async fn put_users(
        &self,
        tx: &mut Tx,
        declaration: &Declaration,
        secrets: &Secrets,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        for it in &declaration.users {
            let (kind, of) = user_scope(tx, it).await?;
            let columns = vec![
                ("password_hash", secret(secrets, "users", &it.login)),
                ("scope_kind", Value::from(kind)),
                ("scope_id", of),
            ];
            let id = UserId::new(self.clock.now());
            let row =
                Row { table: "users", kind: "user", key: "login", name: &it.login, columns, disabled: it.disabled };
            let user = self.put(tx, &row, id.into(), changes).await?;
            if let Some(token) = &it.token {
                let now = self.clock.now();
                let mut params = params![TokenId::new(now), Sha256::of(token.as_bytes()), now];
                params.push(user);
                let added = tx
                    .execute(
                        "INSERT INTO tokens (id, user_id, name, secret_hash, created_at)
                         VALUES ($1, $4, 'declared', $2, $3)
                         ON CONFLICT (secret_hash) DO NOTHING",
                        params,
                    )
                    .await?;
                if added > 0 {
                    note_changed(changes, "user", &it.login);
                }
            }
        }
        Ok(())
    }

    async fn put_ftp_accounts(
        &self,
        tx: &mut Tx,
        declaration: &Declaration,
        secrets: &Secrets,
        changes: &mut Vec<Change>,
    ) -> Result<()> {
        for it in &declaration.ftp_accounts {
            let columns = vec![
                ("password_hash", secret(secrets, "ftp_accounts", &it.login)),
                ("pbx_id", find(tx, "pbxs", "PBX", &it.pbx, "FTP account", &it.login).await?),
            ];
            let id = FtpAccountId::new(self.clock.now());
            let row = Row {
                table: "ftp_accounts",
                kind: "FTP account",
                key: "login",
                name: &it.login,
                columns,
                disabled: it.disabled,
            };
            self.put(tx, &row, id.into(), changes).await?;
        }
        Ok(())
    }

    /// Adds the row or brings it up to date; answers its id.
    async fn put(&self, tx: &mut Tx, row: &Row<'_>, new_id: Value, changes: &mut Vec<Change>) -> Result<Value> {
        let Row { table, kind, key, name, columns, disabled } = row;
        let now = self.clock.now();
        let mut note = |what| changes.push(Change { what, kind, name: (*name).to_owned() });
        let present = tx.fetch_optional(format!("SELECT id FROM {table} WHERE {key} = $1"), params![*name]).await?;
        let Some(present) = present else {
            let since = if *table == "core_servers" { "enrolled_at" } else { "created_at" };
            let names: Vec<&str> = columns.iter().map(|(column, _)| *column).collect();
            let numbers: Vec<String> = (0..names.len()).map(|n| format!("${}", n + 5)).collect();
            let sql = format!(
                "INSERT INTO {table} (id, {key}, {since}, disabled_at, {}) VALUES ($1, $2, $3, $4, {})",
                names.join(", "),
                numbers.join(", ")
            );
            let mut params = vec![new_id.clone()];
            params.extend(params![*name, now, disabled.then_some(now)]);
            params.extend(columns.iter().map(|(_, value)| value.clone()));
            tx.execute(sql, params).await?;
            note("created");
            return Ok(new_id);
        };
        let id = Value::Bytes(Some(present.get("id")?));
        let (mut sets, mut differs, mut params) = (Vec::new(), Vec::new(), vec![id.clone()]);
        for (column, value) in columns {
            params.push(value.clone());
            sets.push(format!("{column} = ${}", params.len()));
            differs.push(format!("{column} IS DISTINCT FROM ${}", params.len()));
        }
        let sql = format!("UPDATE {table} SET {} WHERE id = $1 AND ({})", sets.join(", "), differs.join(" OR "));
        let mut changed = tx.execute(sql, params).await?;
        changed += if *disabled {
            let sql = format!("UPDATE {table} SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL");
            tx.execute(sql, vec![id.clone(), now.into()]).await?
        } else {
            let sql = format!("UPDATE {table} SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL");
            tx.execute(sql, vec![id.clone()]).await?
        };
        if changed > 0 {
            note("changed");
        }
        Ok(id)
    }
}

/// Notes that something of the entry changed that is not in its own row, unless it is noted already.
pub(super) fn note_changed(changes: &mut Vec<Change>, kind: &'static str, name: &str) {
    if !changes.iter().any(|change| change.kind == kind && change.name == name) {
        changes.push(Change { what: "changed", kind, name: name.to_owned() });
    }
}

/// The id of what `code` names, for an entry that refers to it.
async fn find(
    tx: &mut Tx,
    table: &'static str,
    kind: &str,
    code: &str,
    entry_kind: &str,
    entry: &str,
) -> Result<Value> {
    let row = tx.fetch_optional(format!("SELECT id FROM {table} WHERE code = $1"), params![code]).await?;
    match row {
        Some(row) => Ok(Value::Bytes(Some(row.get("id")?))),
        None => Err(Error::Invalid(format!("{entry_kind} \"{entry}\": there is no {kind} \"{code}\""))),
    }
}

fn secret(secrets: &Secrets, table: &'static str, login: &str) -> Value {
    Value::Text(secrets.get(&(table, login.to_owned())).cloned())
}

/// The scope that a declared role means.
async fn user_scope(tx: &mut Tx, user: &DeclaredUser) -> Result<(&'static str, Value)> {
    let (kind, table) = match (user.role.as_str(), &user.of) {
        ("operator", None) => return Ok(("platform", Value::Bytes(None))),
        ("reseller", Some(_)) => ("reseller", "resellers"),
        ("tenant", Some(_)) => ("tenant", "tenants"),
        ("pbx", Some(_)) => ("pbx", "pbxs"),
        _ => {
            return Err(Error::Invalid(format!(
                "user \"{}\": role is operator, or reseller, tenant or pbx with \"of\" naming which",
                user.login
            )));
        }
    };
    let of = user.of.as_deref().unwrap_or_default();
    Ok((kind, find(tx, table, kind, of, "user", &user.login).await?))
}
