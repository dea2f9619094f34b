mod flags;
mod sources;
mod verbs;
