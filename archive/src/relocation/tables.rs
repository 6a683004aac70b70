//! What tables a catalogue has, as the database itself tells: so that none that a later migration adds is forgotten.

use std::collections::HashMap;

use crate::db::{Db, Kind, Value, params};
use crate::error::{Error, Result};

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) name: String,
    /// In the database's order.
    pub(crate) columns: Vec<TableColumn>,
    /// The primary key: places in `columns`, in the key's order.
    pub(crate) key: Vec<usize>,
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct TableColumn {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

impl Table {
    pub(crate) fn column_names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }

    pub(crate) fn key_names(&self) -> Vec<&str> {
        self.key.iter().map(|place| self.columns[*place].name.as_str()).collect()
    }

    /// The key of a row of it.
    pub(crate) fn key_of(&self, row: &[Value]) -> Vec<Value> {
        self.key.iter().map(|place| row[*place].clone()).collect()
    }
}

/// Every table but the migrations' own, each behind those that it refers to.
pub(crate) async fn list_tables(db: &Db) -> Result<Vec<Table>> {
    let sql = match db {
        Db::Sqlite { .. } => {
            "SELECT t.name AS table_name, c.name AS column_name, c.type AS column_type, c.pk AS key_place
             FROM sqlite_master t
             JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name <> '_sqlx_migrations'
             ORDER BY t.name, c.cid"
        }
        Db::Postgres(_) => {
            "SELECT CAST(c.table_name AS TEXT) AS table_name, CAST(c.column_name AS TEXT) AS column_name,
                 CAST(c.data_type AS TEXT) AS column_type, CAST(COALESCE(k.ordinal_position, 0) AS BIGINT) AS key_place
             FROM information_schema.columns c
             JOIN information_schema.tables t
                 ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE'
             LEFT JOIN information_schema.table_constraints p
                 ON p.table_schema = c.table_schema AND p.table_name = c.table_name
                     AND p.constraint_type = 'PRIMARY KEY'
             LEFT JOIN information_schema.key_column_usage k
                 ON k.constraint_schema = p.constraint_schema AND k.constraint_name = p.constraint_name
                     AND k.column_name = c.column_name
             WHERE c.table_schema = current_schema() AND c.table_name <> '_sqlx_migrations'
             ORDER BY c.table_name, c.ordinal_position"
        }
    };
    let mut tables: Vec<(Table, Vec<(i64, usize)>)> = Vec::new();
    for row in &db.fetch_all(sql, params![]).await? {
        let (table, column): (String, String) = (row.get("table_name")?, row.get("column_name")?);
        let kind = match row.get::<String>("column_type")?.to_ascii_lowercase().as_str() {
            "bigint" => Kind::Int,
            "text" => Kind::Text,
            "bytea" => Kind::Bytes,
            other => return Err(Error::integrity("catalogue", table, format!("column {column} is {other}"))),
        };
        if tables.last().is_none_or(|(last, _)| last.name != table) {
            tables.push((Table { name: table, columns: Vec::new(), key: Vec::new() }, Vec::new()));
        }
        let (table, key) = tables.last_mut().expect("one was just pushed");
        let place: i64 = row.get("key_place")?;
        if place > 0 {
            key.push((place, table.columns.len()));
        }
        table.columns.push(TableColumn { name: column, kind });
    }
    let mut found = Vec::new();
    for (mut table, mut key) in tables {
        key.sort_unstable();
        table.key = key.into_iter().map(|(_, column)| column).collect();
        if table.key.is_empty() {
            return Err(Error::integrity("catalogue", table.name, "has no primary key"));
        }
        found.push(table);
    }
    Ok(in_order(found, &references(db).await?))
}

/// Which table refers to which others.
async fn references(db: &Db) -> Result<HashMap<String, Vec<String>>> {
    let sql = match db {
        Db::Sqlite { .. } => {
            "SELECT t.name AS table_name, f.\"table\" AS referred
             FROM sqlite_master t
             JOIN pragma_foreign_key_list(t.name) f
             WHERE t.type = 'table'"
        }
        Db::Postgres(_) => {
            "SELECT CAST(t.relname AS TEXT) AS table_name, CAST(r.relname AS TEXT) AS referred
             FROM pg_constraint c
             JOIN pg_class t ON t.oid = c.conrelid
             JOIN pg_class r ON r.oid = c.confrelid
             WHERE c.contype = 'f' AND t.relnamespace = CAST(current_schema() AS REGNAMESPACE)"
        }
    };
    let mut references: HashMap<String, Vec<String>> = HashMap::new();
    for row in &db.fetch_all(sql, params![]).await? {
        references.entry(row.get("table_name")?).or_default().push(row.get("referred")?);
    }
    Ok(references)
}

/// The tables, each behind those that it refers to; one that refers to itself or round in a circle comes as it may.
fn in_order(mut tables: Vec<Table>, references: &HashMap<String, Vec<String>>) -> Vec<Table> {
    let mut ordered: Vec<Table> = Vec::new();
    while !tables.is_empty() {
        let waits = |table: &Table| {
            let referred = references.get(&table.name).map(Vec::as_slice).unwrap_or_default();
            referred.iter().any(|it| *it != table.name && tables.iter().any(|other| other.name == *it))
        };
        let next = tables.iter().position(|table| !waits(table)).unwrap_or(0);
        ordered.push(tables.remove(next));
    }
    ordered
}
