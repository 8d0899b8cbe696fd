package task

// RunGoGenerateIfChanged asserts that a function has the signature F, the one
// that code was generated for, or that arguments have the fields F, where they are
// generated into another package. Only generated code calls it. Its name is there
// for the error message of the compiler, which shows it when one of the two was
// changed and the other was not generated anew.
func RunGoGenerateIfChanged[F any](F) (_ None) { return }
