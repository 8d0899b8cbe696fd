package task

import (
	"errors"
	"slices"
	"time"

	"github.com/go-arbiter/arbiter/task/request"
)

// An ErrorRule says what becomes of a task whose attempt has failed with err. It returns the error
// that the handler would have returned to get that: [NoRetry], [RetryAfter], [Snooze] or
// [LimitReached], or an error without such a mark, which is retried as usual. It reports false if it
// has nothing to say about err; then the next rule is asked. The number of the retry is 1 for the
// first. Rules are called concurrently.
//
// [ErrIs], [ErrAs] and [ErrorMatch] make the usual rules:
//
//	task.ErrIs(ErrNoSuchUser).NoRetry()
//	task.ErrAs[*net.OpError]().Snooze(time.Minute)
//	task.ErrIs(task.ErrTimeout, task.ErrPanic).Retry(task.Constant(time.Hour))
type ErrorRule func(retry int, err error) (verdict error, decided bool)

// OnError sets what becomes of the task after certain errors. The first rule that decides counts. If
// no rule does, those of the minion are asked (minion.OnError), and then the task is retried as usual.
//
// The rules see every failure of an attempt: the error of the handler or of the middleware around it,
// panics ([ErrPanic]) and timeouts ([ErrTimeout]). They do not see an error that says itself what
// follows, such as [NoRetry], nor one of arguments or results that can never be used. They are not
// asked either if the task is canceled or has expired, or goes back to its queue because its minion
// stops. The error of an isolated task comes from another process: rules find in it [RemoteError],
// and the errors that were registered with [RegisterError], but no other types.
//
// A rule cannot give a task more retries than it has. A rule that panics is logged, and the task is
// retried as usual.
//
// OnError counts where the handler is registered, as [WithBackoff] does. OnError without rules
// removes earlier ones, and so the rules of the minion count alone.
func OnError(rules ...ErrorRule) Option {
	rules = slices.Clone(rules)
	return newOption("OnError", onHandler, func(s *request.Settings) {
		s.OnError = nil
		if i := slices.IndexFunc(rules, func(r ErrorRule) bool { return r == nil }); i >= 0 {
			fail(s, "OnError: rule %d is nil or matches no error; want a rule such as task.ErrIs(err).NoRetry()", i+1)
			return
		}
		if len(rules) > 0 {
			s.OnError = func(retry int, err error) (error, bool) { return firstVerdict(rules, retry, err) }
		}
	})
}

// firstVerdict asks the rules in order.
func firstVerdict(rules []ErrorRule, retry int, err error) (verdict error, decided bool) {
	for _, rule := range rules {
		if verdict, decided := rule(retry, err); decided {
			return verdict, true
		}
	}
	return nil, false
}

// An ErrorMatch reports whether an [ErrorRule] concerns an error. Its methods make the rules; a rule
// of a nil ErrorMatch is nil, and [OnError] refuses it.
type ErrorMatch func(error) bool

// ErrIs matches the errors for which [errors.Is] finds one of the targets. It is nil if there is no
// target, or one of them is nil.
func ErrIs(targets ...error) ErrorMatch {
	targets = slices.Clone(targets)
	if len(targets) == 0 || slices.Contains(targets, nil) {
		return nil
	}
	return func(err error) bool {
		return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
	}
}

// ErrAs matches the errors in which [errors.As] finds an error of the type E.
func ErrAs[E error]() ErrorMatch {
	return func(err error) bool {
		_, ok := errors.AsType[E](err)
		return ok
	}
}

// NoRetry makes a rule: the task is not retried, and becomes a dead letter, see the function
// [NoRetry].
func (m ErrorMatch) NoRetry() ErrorRule {
	return m.rule(func(_ int, err error) error { return NoRetry(err) })
}

// Retry makes a rule: the task is retried after the pause that b returns. Nil is the pause of the
// task: such a rule exempts its errors from the rules behind it.
func (m ErrorMatch) Retry(b Backoff) ErrorRule {
	return m.rule(func(retry int, err error) error {
		if b == nil {
			return err
		}
		return RetryAfter(b(retry, err), err)
	})
}

// Snooze makes a rule: the task runs again after d, and uses up no retry, see the function [Snooze].
// A task whose error never ends runs again for ever, unless it has a [Deadline].
func (m ErrorMatch) Snooze(d time.Duration) ErrorRule {
	return m.rule(func(int, error) error { return Snooze(d) })
}

func (m ErrorMatch) rule(verdict func(retry int, err error) error) ErrorRule {
	if m == nil {
		return nil
	}
	return func(retry int, err error) (error, bool) {
		if !m(err) {
			return nil, false
		}
		return verdict(retry, err), true
	}
}
