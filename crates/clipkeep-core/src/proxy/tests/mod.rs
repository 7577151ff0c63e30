mod capture;
mod headers;
mod stream;
mod target;
