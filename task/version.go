package task

// GeneratedV1 exists as long as this package supports the code that version 1 of arbitergen
// writes. Generated code refers to it: if the versions do not match, the compiler's error names it.
// The remedy is to run go generate with the arbitergen of the same module version.
const GeneratedV1 = true
