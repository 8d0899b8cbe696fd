package task

// Inherit lets a call that a running task sends through its context end with it.
// It gets what is left of the task's deadline, unless its own is sooner; and if
// the task is killed while it runs, the call is killed as well, once the handler
// has returned. All that a tree of such calls has sent ends so. It is kept in the
// memory of the minion: if that dies in the same moment, the call goes on. The
// default is a call that is on its own. It changes nothing for calls that are
// sent from elsewhere.
func Inherit() Option {
	return optionFunc(func(s *Settings) { s.Inherit = true })
}
