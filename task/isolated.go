package task

// Isolated has each attempt at the task run in a process of its own, a child of
// the minion's: whatever the handler does, its end is that of the child and never
// of the minion. It counts where the task's handler is registered, not where
// calls are sent. The default is the minion's own process. See minion.Child for
// what the program must do, and what there is in the child.
func Isolated() Option {
	return optionFunc(func(s *Settings) { s.Isolated = true })
}
