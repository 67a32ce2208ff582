//! Xsi-Actions: a user's profile, services and calls.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::json;

use super::guard::{Caller, Place, XsiError, XsiResult, answer, body, named};
use super::host::{Host, User};
use super::xml;
use crate::simulator::state::Shared;

/// `GET …/user/{user}/profile`
pub async fn profile(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let state = shared.state();
    let user = seen(&state.xsi, &place, &headers)?;
    let details = xml::elements(
        "",
        &[
            ("userId", &user.id),
            ("groupId", "group"),
            ("serviceProvider", &state.xsi.setup.service_provider),
            ("number", &user.number),
        ],
    );
    Ok(answer(xml::around("Profile", &xml::element("details", &details))))
}

/// `GET …/user/{user}/profile/device`
pub async fn devices(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let state = shared.state();
    let user = seen(&state.xsi, &place, &headers)?;
    let device = |kind: &String| {
        let fields = [("deviceLevel", "User"), ("deviceName", "device"), ("deviceType", kind)];
        xml::element("accessDevice", &xml::elements("", &fields))
    };
    let devices: Vec<String> = user.devices.iter().map(device).collect();
    Ok(answer(xml::around("AccessDevices", &devices.concat())))
}

/// `GET …/user/{user}/services`
pub async fn services(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let state = shared.state();
    let user = seen(&state.xsi, &place, &headers)?;
    let uri = format!("/v2.0/user/{}/services/donotdisturb", user.id);
    let service = xml::elements("", &[("name", "Do Not Disturb"), ("uri", &uri)]);
    let services = if user.without_dnd {
        String::new()
    } else {
        xml::element("service", &service)
    };
    Ok(answer(xml::around("Services", &services)))
}

/// `GET …/user/{user}/calls`: which calls there are, without their states.
pub async fn calls(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let state = shared.state();
    let user = seen(&state.xsi, &place, &headers)?;
    let call = |id: &String| {
        let uri = format!("/v2.0/user/{}/calls/{id}", user.id);
        xml::element("call", &xml::elements("", &[("callId", id), ("uri", &uri)]))
    };
    let calls: Vec<String> = user.calls.keys().map(call).collect();
    Ok(answer(xml::around("Calls", &calls.concat())))
}

/// `GET …/user/{user}/services/DoNotDisturb`
pub async fn do_not_disturb(State(shared): State<Shared>, Path(place): Path<Place>, headers: HeaderMap) -> XsiResult {
    let state = shared.state();
    let user = with_service(seen(&state.xsi, &place, &headers)?)?;
    let (active, rings) = (user.dnd.to_string(), user.ring_splash.to_string());
    let fields = [("active", active.as_str()), ("ringSplash", rings.as_str())];
    Ok(answer(xml::document("DoNotDisturb", &fields)))
}

/// `PUT …/user/{user}/services/DoNotDisturb`
pub async fn set_do_not_disturb(
    State(shared): State<Shared>,
    Path(place): Path<Place>,
    headers: HeaderMap,
    bytes: Bytes,
) -> XsiResult {
    let mut state = shared.state();
    let user = with_service(seen(&state.xsi, &place, &headers)?)?.id.clone();
    let document = body(&bytes, &headers, "DoNotDisturb")?;
    let flag = |name: &str| match document.fields.get(name).map(String::as_str) {
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(_) => Err(XsiError::bad(&format!("{name} must be true or false"))),
        None => Ok(None),
    };
    let ring_splash = flag("ringSplash")?;
    let active = flag("active")?.ok_or_else(|| XsiError::bad("active is missing"))?;
    state.xsi.note_write(json!({"user": user, "doNotDisturb": active}));
    state.xsi.set_dnd(&user, active, ring_splash);
    Ok(StatusCode::OK.into_response())
}

fn seen<'a>(host: &'a Host, place: &Place, headers: &HeaderMap) -> Result<&'a User, XsiError> {
    let caller = Caller::read(host, place, headers)?;
    let user = named(place, "user");
    caller.may_see(host, user)?;
    host.users
        .get(user)
        .ok_or_else(|| XsiError::missing("[Error 4008] User not found"))
}

fn with_service(user: &User) -> Result<&User, XsiError> {
    if user.without_dnd {
        return Err(XsiError::missing("the service is not assigned"));
    }
    Ok(user)
}
