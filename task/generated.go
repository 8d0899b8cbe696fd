package task

// GeneratedV1 exists as long as this package supports the code that version 1 of arbitergen
// writes. Generated code refers to it: if the versions do not match, the compiler's error names it.
// The remedy is to run go generate with the arbitergen of the same module version.
const GeneratedV1 = true

// RunGoGenerateIfChanged asserts that a function still has the signature F that code was
// generated for, or that arguments in another package still have the fields F. Only generated
// code calls it. If the two differ, the compiler's error message shows this name, which is the
// remedy.
func RunGoGenerateIfChanged[F any](F) (_ None) { return }
