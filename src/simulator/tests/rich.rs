//! Notifications with encrypted resource data.

use aws_lc_rs::cipher::{AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::world::World;

fn decode(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

/// Decrypts as Microsoft's guide says.
fn decrypt(content: &Value, private: &[u8]) -> Value {
    let private = OaepPrivateDecryptingKey::new(PrivateDecryptingKey::from_pkcs8(private).unwrap()).unwrap();
    let mut room = vec![0; private.min_output_size()];
    let key = private
        .decrypt(&OAEP_SHA1_MGF1SHA1, &decode(&content["dataKey"]), &mut room, None)
        .unwrap()
        .to_vec();
    let mut data = decode(&content["data"]);
    let signature = decode(&content["dataSignature"]);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &data, &signature).unwrap();
    let iv = FixedLength::from(<[u8; 16]>::try_from(&key[..16]).unwrap());
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key).unwrap()).unwrap();
    let plain = cipher.decrypt(&mut data, DecryptionContext::Iv128(iv)).unwrap();
    serde_json::from_slice(plain).unwrap()
}

#[tokio::test]
async fn encrypts_for_the_subscriber_and_vouches_for_itself() {
    let world = World::new().await;
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["rich".into()])
        .unwrap()
        .self_signed(&pair)
        .unwrap();
    let wish = json!({
        "resource": "chats/getAllMessages", "lifecycleNotificationUrl": world.hook, "includeResourceData": true,
        "encryptionCertificate": STANDARD.encode(certificate.der()), "encryptionCertificateId": "key-1",
    });
    let mut broken = wish.clone();
    broken["encryptionCertificate"] = json!("AAAA");
    assert_eq!(world.create(broken).await.0, 400);
    world.created(wish).await;
    let event = json!({
        "resource": "chats/getAllMessages", "changeType": "created", "resourceData": {"body": {"content": "hello"}},
    });
    world.admin("POST", "/events", event).await;
    world.settled().await;
    let body = world.seen.lock().unwrap().bodies[0].clone();
    let item = &body["value"][0];
    assert_eq!(item["encryptedContent"]["encryptionCertificateId"], "key-1");
    assert!(item["resourceData"].get("body").is_none(), "nothing in the clear");
    let content = decrypt(&item["encryptedContent"], &pair.serialize_der());
    assert_eq!(content["body"]["content"], "hello");

    let kept = json!({"collection": "chats/c/messages", "object": {"id": "1", "body": {"content": "kept"}}});
    world.admin("POST", "/objects", kept).await;
    world.settled().await;
    let second = world.seen.lock().unwrap().bodies[1]["value"][0].clone();
    let content = decrypt(&second["encryptedContent"], &pair.serialize_der());
    assert_eq!(
        (&content["body"]["content"], &content["chatId"]),
        (&json!("kept"), &json!("c"))
    );
    assert!(second["resourceData"].get("body").is_none(), "nothing in the clear");

    let tokens = body["validationTokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 1);
    let claims = tokens[0].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["azp"], "0bf30f3b-4a52-48df-9a82-234910c4a086");
    assert_eq!(claims["aud"], "22222222-2222-2222-2222-222222222222");
}
