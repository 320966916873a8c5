// Package fault attaches advice for people to an error: not what failed, which the error says, but
// what to do about it. It knows nothing of what the program does; whoever prints an error to a person
// asks Of for the advice and prints it beside the error.
package fault

import "errors"

// advised is an error that carries advice. Its text is the wrapped error's alone, so that advice shows
// up once, where a person reads it, and not in every log line.
type advised struct {
	err    error
	advice string
}

func (a *advised) Error() string { return a.err.Error() }
func (a *advised) Unwrap() error { return a.err }

// Wrap returns err with advice attached: a sentence that tells a person what to do. The result's text is
// err's, and errors.Is and errors.As see through it. A nil err stays nil; empty advice adds nothing.
func Wrap(err error, advice string) error {
	if err == nil || advice == "" {
		return err
	}
	return &advised{err: err, advice: advice}
}

// Of returns the outermost advice attached to err, because whoever wrapped last knew most about what the
// person was doing. Of joined errors the first that has advice counts. It is empty if there is none.
func Of(err error) string {
	if a, ok := errors.AsType[*advised](err); ok {
		return a.advice
	}
	return ""
}

// Text is what a report that keeps one text per failure says of err: the error, and its advice in
// parentheses. It is empty for nil.
func Text(err error) string {
	if err == nil {
		return ""
	}
	if advice := Of(err); advice != "" {
		return err.Error() + " (" + advice + ")"
	}
	return err.Error()
}
