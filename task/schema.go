package task

// Schema gives calls the hash of the task's parameters and result, so that both
// sides can tell whether they were built for the same ones. Generated handles
// have it. The default, 0, says that nothing is known.
func Schema(hash uint64) Option {
	return optionFunc(func(s *Settings) { s.Schema = hash })
}
