//! `GET /`: says what this is.

use axum::response::Html;

use crate::parameters::NoParameters;

pub(crate) async fn show(_: NoParameters) -> Html<&'static str> {
    Html(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Fonoteca</title>\n\
         <h1>Fonoteca</h1>\n<p>The recording storage and media archive of a PBX platform.</p>\n\
         <p>Its API is under <a href=\"/api/v1/recordings\">/api/v1</a>; send a bearer token.</p>\n</html>\n",
    )
}
