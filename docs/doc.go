// Package docs has no code of its own. Its tests read the README and the
// documents in this folder: every Go snippet compiles, every link leads
// somewhere, and the README's first program is made word for word.
package docs
