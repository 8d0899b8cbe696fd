package seal

import (
	"github.com/go-arbiter/arbiter/broker"
	"github.com/go-arbiter/arbiter/codec"
)

// saved is for a durable step of a task, and for a signal to it.
func saved(direct string, id broker.ID, name string) associatedData {
	return direction(direct).id(id).text(name)
}

const (
	durableStep = "durable step"
	signal      = "signal"
)

// Step seals the data of a durable step of the task id.
func Step(s codec.Sealer, id broker.ID, name string, plain []byte) ([]byte, error) {
	return sealed(s, plain, saved(durableStep, id, name))
}

// OpenStep opens the data of a durable step.
func OpenStep(s codec.Sealer, id broker.ID, name string, data []byte) ([]byte, error) {
	return opened(s, data, saved(durableStep, id, name))
}

// Signal seals the value of a signal to the task id.
func Signal(s codec.Sealer, id broker.ID, name string, plain []byte) ([]byte, error) {
	return sealed(s, plain, saved(signal, id, name))
}

// OpenSignal opens the value of a signal.
func OpenSignal(s codec.Sealer, id broker.ID, name string, data []byte) ([]byte, error) {
	return opened(s, data, saved(signal, id, name))
}
