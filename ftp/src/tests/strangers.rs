//! What nobody may see or do: strangers without a password, and neighbours with one.

use archive::Actor;
use archive::testing::TestArchive;

use super::door::{Door, clear};
use crate::Config;

#[tokio::test]
async fn a_wrong_password_and_an_unknown_login_look_the_same() {
    let door = Door::open(clear()).await;
    door.record("acme", b"secret").await;
    let mut replies = Vec::new();
    for (login, password) in
        [("ftp-acme", "wrong"), ("nobody", TestArchive::PASSWORD), ("anonymous", "me@example.com"), ("ftp-acme", "")]
    {
        let mut client = door.connect().await;
        client.expect(331, &format!("USER {login}")).await;
        replies.push(client.command(&format!("PASS {password}")).await);
        client.expect(530, "PWD").await;
        client.expect(530, "EPSV").await;
        client.expect(530, "CWD /").await;
    }
    assert!(replies.iter().all(|reply| reply.code == 530 && *reply == replies[0]), "{replies:?}");
    door.log_in("acme").await.expect(257, "PWD").await;
    door.close().await;
}

#[tokio::test]
async fn a_session_ends_after_too_many_passwords() {
    let door = Door::open(clear()).await;
    let mut client = door.connect().await;
    for _ in 0..4 {
        client.expect(331, "USER ftp-acme").await;
        client.expect(530, "PASS wrong").await;
    }
    client.expect(331, "USER ftp-acme").await;
    client.send(&format!("PASS {}", TestArchive::PASSWORD)).await;
    client.closed().await;
    assert_eq!(door.audit("ftp.login").await, []);
    door.close().await;
}

#[tokio::test]
async fn fault_38_another_pbxs_path_is_a_path_that_leads_nowhere() {
    let door = Door::open(clear()).await;
    let (_, own) = door.record("acme", b"own").await;
    let mut foreign = Vec::new();
    for pbx in ["acme-lab", "borealis", "cobalt", "nobody-knows"] {
        foreign.push(door.record(pbx, pbx.as_bytes()).await.1);
    }
    let mut client = door.log_in("acme").await;
    let absent = "/2026/11/21/20261121-120000_out_101_-_00000000000000000000000000.mp3";
    for command in ["SIZE", "MDTM", "CWD", "MLST", "DELE"] {
        let missing = client.command(&format!("{command} {absent}")).await;
        assert_eq!(missing.code, 550, "{command}");
        for path in &foreign {
            assert_eq!(client.command(&format!("{command} {path}")).await, missing, "{command}");
        }
    }
    for command in ["RETR", "LIST", "NLST", "MLSD"] {
        let missing = client.transfer(&format!("{command} {absent}")).await;
        assert_eq!((missing.0.as_slice(), missing.1.code), (&b""[..], 550), "{command}");
        for path in &foreign {
            assert_eq!(client.transfer(&format!("{command} {path}")).await, missing, "{command}");
        }
    }
    let own_name = own.rsplit('/').next().unwrap();
    assert_eq!(client.listing("NLST /2026/11/21").await, format!("{own_name}\r\n"));
    let mut neighbour = door.log_in("cobalt").await;
    assert_eq!(neighbour.fetch(&format!("RETR {}", foreign[2])).await, b"cobalt");
    assert_eq!(neighbour.transfer(&format!("RETR {own}")).await.1.code, 550);
    door.close().await;
}

#[tokio::test]
async fn a_session_cannot_change_its_account() {
    let door = Door::open(clear()).await;
    let (_, foreign) = door.record("cobalt", b"secret").await;
    let mut client = door.log_in("acme").await;
    client.expect(503, "USER ftp-cobalt").await;
    let again = client.command(&format!("PASS {}", TestArchive::PASSWORD)).await;
    assert!(again.code >= 500, "{}", again.text);
    assert_eq!(client.transfer(&format!("RETR {foreign}")).await.1.code, 550);
    door.close().await;
}

#[tokio::test]
async fn a_disabled_account_is_out_in_the_middle_of_its_session() {
    let door = Door::open(clear()).await;
    let (_, path) = door.record("acme", b"not any more").await;
    let mut clients = [door.log_in("acme").await, door.log_in("acme").await];
    let mut declaration = door.t.declaration();
    declaration.ftp_accounts.iter_mut().filter(|it| it.login == "ftp-acme").for_each(|it| it.disabled = true);
    door.t.archive.apply(&Actor::command_line(), &declaration).await.unwrap();
    clients[0].send(&format!("SIZE {path}")).await;
    clients[0].closed().await;
    clients[1].send("CWD /2026").await;
    clients[1].closed().await;
    let mut late = door.connect().await;
    late.expect(331, "USER ftp-acme").await;
    late.expect(530, &format!("PASS {}", TestArchive::PASSWORD)).await;
    door.close().await;
}

#[tokio::test]
async fn the_greeting_names_no_product_and_active_mode_is_refused() {
    let door = Door::open(Config { max_sessions: 3, ..clear() }).await;
    let mut client = super::client::Client::connect(door.address).await;
    assert_eq!(client.reply().await.text, "220 FTP server ready\r\n");
    client.log_in("ftp-acme", TestArchive::PASSWORD).await;
    for command in ["PORT 127,0,0,1,4,1", "EPRT |1|127.0.0.1|1025|"] {
        let refused = client.command(command).await;
        assert!(refused.code >= 500, "{command}: {}", refused.text);
    }
    door.close().await;
}
