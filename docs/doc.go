// Package docs has no code of its own. Its tests check the README and the documents in
// this folder: every Go snippet compiles, every link has a target, the README's first
// program works as written, and the architecture names packages and files that exist.
package docs
