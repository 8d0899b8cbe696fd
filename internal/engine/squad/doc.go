// Package squad has the messages by which an arbiter and minions agree that the members of a
// squad start together, the plan of which minion gets how many members, and the minion's side
// of the agreement ([Reservations]). The arbiter's side is in package client. The messages travel
// as posts, see broker.Squads. Any of them may be lost, and each side goes on without it after
// some time.
//
// An arbiter asks minions for their numbers of slots, and then asks one after the other to
// reserve slots for a squad. When all have, it stores the members and assigns them. Each minion
// reports when it has as many members as it has reserved slots. Then the arbiter decides that
// the squad starts, and tells the minions. A minion that hears nothing frees its reserved slots
// when their time is over. If it has members by then, it first decides in the broker that the
// squad does not start. The first decision is final, so this has no effect if the arbiter has
// already decided.
package squad
