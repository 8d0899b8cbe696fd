package task

// RunGoGenerateIfChanged asserts that a function has the signature F, the one
// that code was generated for. Only generated code calls it. Its name is there
// for the error message of the compiler, which shows it when the signature was
// changed and the code was not generated anew.
func RunGoGenerateIfChanged[F any](F) (_ None) { return }
