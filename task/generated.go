package task

// RunGoGenerateIfChanged asserts that a function still has the signature F that code was
// generated for, or that arguments in another package still have the fields F. Only generated
// code calls it. If the two differ, the compiler's error message shows this name, which is the
// remedy.
func RunGoGenerateIfChanged[F any](F) (_ None) { return }
