package minion

import (
	"log/slog"
	"slices"

	"github.com/go-arbiter/arbiter/internal/engine/failure"
	"github.com/go-arbiter/arbiter/task"
)

// OnError sets what becomes of tasks after certain errors. The first rule that decides
// counts. The rules of a task, see [task.OnError], are asked before those of the minion.
// That option explains which errors the rules see. The default is no rule: a task that
// failed is retried as often as its policy allows.
func OnError(rules ...task.ErrorRule) Option {
	rules = slices.Clone(rules)
	return optionFunc(func(c *config) {
		if i := slices.IndexFunc(rules, func(r task.ErrorRule) bool { return r == nil }); i >= 0 {
			c.fail("OnError: rule %d is nil or matches no error; want a rule such as task.ErrIs(err).NoRetry()", i+1)
			return
		}
		c.onError = rules
	})
}

// judge asks the rules of the task and of the minion what follows from err. It returns
// err itself if no rule decides. Rules are code of the user, so they may panic.
func (a *attempt) judge(err error) (verdict error, decided bool) {
	defer func() {
		if p := recover(); p != nil {
			a.s.r.log.failed(slog.LevelError, "a rule of OnError panicked; the task is retried as usual", a.d, failure.NewPanic(p))
			verdict, decided = err, false
		}
	}()
	retry := a.d.Retried + 1
	if rules := a.h.Settings.OnError; rules != nil {
		verdict, decided = rules(retry, err)
	}
	for _, rule := range a.s.r.m.cfg.onError {
		if decided {
			break
		}
		verdict, decided = rule(retry, err)
	}
	if verdict == nil || !decided { // nil says nothing about the failure
		return err, false
	}
	return verdict, true
}
