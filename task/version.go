package task

// GeneratedV1 exists as long as this package supports code that version 1 of
// arbitergen's output relies on. Generated code refers to it, so that a
// mismatch is an error of the compiler that names it: run go generate with the
// arbitergen of the same module version.
const GeneratedV1 = true
