//! Prints the request's JSON Schema.

fn main() {
    println!("{:#}", crossfade::wire::request::Request::schema());
}
