package chaos

import (
	"fmt"
	"strings"
)

// crowd is a history of two tasks that run at the same time in one minion. slots has the slots of
// the task, the slots of the minion, and the ceiling of the task's name. A third task runs later.
func crowd(slots ...string) string {
	text := ""
	for i, key := range []string{"a", "b"} {
		text += fmt.Sprintf("0 s send %[1]s\n 1 s accepted %[1]s\n %[2]d m0.1 start %[1]s 1 - - 0 %[3]s\n %[4]d m0.1 return %[1]s 1 ok\n 50 s got %[1]s succeeded %[1]s#1\n",
			key, 5+i, slots[i], 20+i)
	}
	return text + "0 s send c\n 1 s accepted c\n 21 m0.1 start c 1 - - 0 " + slots[0] + "\n 30 m0.1 return c 1 ok\n 50 s got c succeeded c#1\n"
}

// histories are inputs of the checker, with the expected verdicts.
var histories = []struct {
	name string
	text string
	want string // the verdicts, in order
}{
	{"plain", good, ""},
	{"accepted, never started", "0 s send a\n 1 s accepted a", "lost"},
	{"started, never done", "0 s send a\n 5 m start a 1", "lost"},
	{"indeterminate, never started", "0 s send a\n 1 s unknown a", ""},
	{"indeterminate without a note, and started", "0 s send a\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", ""},
	{"refused", "0 s send a\n 1 s refused a", ""},
	{"refused, and runs", "0 s send a\n 1 s refused a\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", "after refusal"},
	{"refused after an unknown outcome", "0 s send a\n 1 s unknown a\n 2 s refused a\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", ""},

	{"the same attempt starts twice", good + "7 m1.1 start a 1", "unexplained"},
	{"one key, two tasks", good + "7 m1.1 start a 1 - other", "unexplained"},
	{"again without a fault", "0 s send a\n 5 m0.1 start a 1\n 9 m1.1 start a 2\n 10 m1.1 return a 2 ok\n 11 s got a succeeded a#2", "unexplained"},
	{"again after a retry", "0 s send a\n 5 m0.1 start a 1\n 6 m0.1 return a 1 retry\n 9 m1.1 start a 2\n 10 m1.1 return a 2 ok\n 11 s got a succeeded a#2", ""},
	{"again after a kill of its minion", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 kill\n 109 m1.1 start a 2\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", ""},
	{"a retry that was asked for", "0 s send a\n 5 m0.1 start a 1\n 6 m0.1 return a 1 retry\n 9 m1.1 start a 2 - - 1\n 10 m1.1 return a 2 ok\n 11 s got a succeeded a#2", ""},
	{"a retry used up by a kill", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 kill\n 109 m1.1 start a 2 - - 1\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", "retry used"},
	{"again after a kill of another minion", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m1.1 kill\n 109 m1.2 start a 2\n 110 m1.2 return a 2 ok\n 111 s got a succeeded a#2", "unexplained"},
	{"again within the lease", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 kill\n 39 m1.1 start a 2\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", "too early"},
	{"again within the lease, of an attempt that is cut too late", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 freeze 30\n 39 m1.1 start a 2\n 41 m0.1 return a 1 cut\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", "too early"},
	{"again within the lease, after the attempt was given back", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0.1 freeze 30\n 35 m0.1 return a 1 cut\n 39 m1.1 start a 2\n 110 m1.1 return a 2 ok\n 111 s got a succeeded a#2", ""},
	{"again after a fault of its host", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0 freeze 21\n 130 m1.1 start a 2\n 140 m1.1 return a 2 ok\n 141 s got a succeeded a#2", ""},
	{"again after a lost reply", "0 s send a\n 5 m0.1 start a 1\n 20 i hit m0 cut_after 21\n 130 m1.1 start a 2\n 140 m1.1 return a 2 ok\n 141 s got a succeeded a#2", "unexplained"},
	{"again after a fault of the server", "0 s send a\n 5 m0.1 start a 1\n 20 i hit server server_kill 21\n 30 m1.1 start a 2\n 40 m1.1 return a 2 ok\n 41 s got a succeeded a#2", ""},
	{"again after a fault long before", "0 i hit m0 freeze 10\n 200 s send a\n 205 m0.1 start a 1\n 230 m1.1 start a 2\n 240 m1.1 return a 2 ok\n 241 s got a succeeded a#2", "unexplained"},
	{"again after a fault long after its return", "1 s send a\n 5 m0.1 start a 1\n 6 m0.1 return a 1 ok\n 200 i hit m0 freeze 210\n 300 m1.1 start a 2\n 340 m1.1 return a 2 ok\n 341 s got a succeeded a#2", "unexplained"},

	{"two results", good + "6 m1.1 start a 1\n 8 m1.1 return a 1 ok\n 4 i hit m0 freeze\n 14 m1.1 start a 2\n 15 m1.1 return a 2 ok\n 16 s got a succeeded a#2", "unexplained, unexplained, settled twice, settled twice"},
	{"starts again after its result", good + "4 i hit m0 end\n 14 m1.1 start a 2", "settled twice"},
	{"two outcomes", good + "14 s got a canceled", "settled twice"},
	{"a result that no attempt returned", good + "14 s got a succeeded a#7", "wrong result"},
	{"a result without a value", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 ok\n 7 s got a succeeded", "wrong end"},

	{"failed as intended", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 fail\n 7 s got a failed a#1", ""},
	{"failed, but the attempt succeeded", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 ok\n 7 s got a failed a#1", "wrong end"},
	{"failed after an error that asks for a retry", "0 s send a\n 1 s accepted a\n 5 m start a 1\n 6 m return a 1 retry\n 7 s got a failed a#1", "wrong result"},
	{"canceled by nobody", "0 s send a\n 1 s accepted a\n 7 s got a canceled", "wrong end"},
	{"expired without a deadline", "0 s send a\n 1 s accepted a\n 7 s got a expired", "wrong end"},
	{"expired", "0 s send a within 5\n 1 s accepted a\n 7 s got a expired", ""},
	{"expired before its deadline", "0 s send a within 50\n 1 s accepted a\n 7 s got a expired", "wrong end"},
	{"expired long after its deadline", "0 s send a within 5\n 1 s accepted a\n 1007 s got a expired", "late"},
	{"expired long after its deadline, because of a fault as long", "0 s send a within 5\n 1 s accepted a\n 10 i hit server server_kill 900\n 1007 s got a expired", ""},
	{"not expired", "0 s send a within 5\n 1 s accepted a", "lost"},
	{"started after its deadline", "0 s send a within 5\n 1 s accepted a\n 150 m start a 1\n 151 m return a 1 ok\n 152 s got a succeeded a#1", "late"},
	{"done within its deadline", "0 s send a within 50\n 1 s accepted a\n 5 m start a 1\n 9 m return a 1 ok\n 12 s got a succeeded a#1", ""},
	{"failed, since a retry would come after its deadline", "0 s send a within 50\n 1 s accepted a\n 5 m start a 1\n 9 m return a 1 retry\n 12 s got a failed a#1", ""},

	{"killed in time", "0 s send a\n 1 s accepted a\n 2 s kill a\n 3 s killed a never_started\n 7 s got a canceled", ""},
	{"killed in time, and started", "0 s send a\n 1 s accepted a\n 2 s kill a\n 3 s killed a never_started\n 5 m start a 1\n 7 s got a canceled", "after kill"},
	{"killed in time, and has succeeded", "0 s send a\n 1 s accepted a\n 2 s kill a\n 5 m start a 1\n 6 m return a 1 ok\n 9 s killed a never_started\n 12 s got a succeeded a#1", "after kill"},
	{"killed in time, and started by a minion that was stopped", "0 s send a\n 1 s accepted a\n 1 i hit m stop 4\n 2 s kill a\n 3 s killed a never_started\n 5 m start a 1\n 7 s got a canceled", ""},
	{"killed in time, and started by a minion whose registration was lost", "0 s send a\n 1 s accepted a\n 1 i hit server registrations_lost 4\n 2 s kill a\n 3 s killed a never_started\n 55 m start a 1\n 70 s got a canceled", ""},
	{"killed in time, and started long after registrations were lost", "0 s send a\n 1 s accepted a\n 1 i hit server registrations_lost 4\n 2 s kill a\n 3 s killed a never_started\n 155 m start a 1\n 170 s got a canceled", "after kill"},
	{"again after registrations were lost", "0 s send a\n 5 m0.1 start a 1\n 20 i hit server registrations_lost 21\n 30 m1.1 start a 2\n 40 m1.1 return a 2 ok\n 41 s got a succeeded a#2", ""},
	{"given up after three deaths", charges("kill", "kill", "kill"), ""},
	{"given up after two deaths, since a third minion may have held it before", charges("kill", "kill"), ""},
	{"given up after one death", charges("kill"), "charged"},
	{"given up after three deaths, two after the record of the start", charges("kill", "kill", "kill") + recorded("a", 2, 3), ""},
	{"given up after three deaths, one after the record of the start", charges("kill", "kill", "kill") + recorded("a", 3), "charged"},
	{"given up after a retry and two deaths, one before the start", "0 s send a\n 1 s accepted a\n 5 m1.1 start a 1\n 6 m1.1 return a 1 retry\n 605 m2.1 recorded a 2\n 610 i hit m2.1 kill\n" +
		"1205 m3.1 recorded a 3\n 1206 m3.1 start a 3 - - 1\n 1210 i hit m3.1 kill\n 1900 s got a given_up", ""},
	{"given up, and never started", "0 s send a\n 1 s accepted a\n 900 s got a given_up", "charged"},
	{"given up without a fault", charges("cut_after", "cut_after", "cut_after"), "charged, unexplained, unexplained"},
	{"given up after outages of the server", charges("server_kill", "server_kill", "server_kill"), "charged"},
	{"given up after outages of the line", charges("freeze", "freeze", "freeze"), "charged"},
	{"given up after an outage and two deaths", charges("freeze", "kill", "kill"), ""},
	{"given up after two outages and a death", charges("freeze", "server_kill", "kill"), "charged"},
	{"given up after two minions were stopped and have not come back", charges("stop", "stop", "-") + "100 i hit m1 stop 5000\n 700 i hit m2 stop 5000", ""},
	{"given up after a minion was stopped and killed before it came back", charges("stop", "kill") + "250 i hit m1.1 kill", ""},
	{"given up while a minion was out of reach, by a minion that died later", charges("kill", "stop") + recorded("a", 1, 2) + "800 m3.1 recorded a 3\n 900 i hit m3.1 kill\n", ""},
	{"given up when a minion was back, by a minion that died later", charges("kill", "stop") + recorded("a", 1, 2) + "900 m3.1 recorded a 3\n 1250 i hit m3.1 kill\n", "charged"},
	{"given up after minions were told to end", charges("end", "end", "end"), "charged"},
	{"given up after minions were told to end and could not give their tasks back", charges("end", "end", "end") +
		"10 i hit server server_kill 200\n 610 i hit server server_kill 800\n 1210 i hit server server_kill 1400", ""},
	{"given up after a retry and a death", strings.Replace(charges("kill", "kill"), "start a 2", "start a 2 - - 1", 1) + "6 m1.1 return a 1 retry", "charged"},
	{"poison", poisoned, ""},
	{"poison that runs too often", poisoned + "1810 m4.1 start p 4\n 1811 i hit m4.1 poison - p", "charged"},
	{"poison that runs more often because a registration was lost", poisoned + "1810 m4.1 start p 4\n 1811 i hit m4.1 poison - p\n 1220 i hit server registrations_lost 1221", ""},
	{"poison that is given up too soon", withoutLines(poisoned, "m2.1", "m3.1"), "charged"},
	{"poison, and a task beside it is given up", poisoned + "0 s send a\n 1 s accepted a\n 5 m1.1 start a 1\n 605 m2.1 start a 2\n 1205 m3.1 start a 3\n 1900 s got a given_up", "charged"},
	{"poison, and a task beside it that waits for others is given up", poisoned + "0 s send a\n 1 s accepted a\n 5 m1.1 start a 1 - - 0 0/8/0\n" +
		"605 m2.1 start a 2 - - 0 0/8/0\n 1205 m3.1 start a 3 - - 0 0/8/0\n 1900 s got a given_up", "charged"},
	{"poison, and a task beside it is given up that was recorded twice", poisoned + "0 s send a\n 1 s accepted a\n 5 m1.1 start a 1\n 605 m2.1 start a 2\n 1205 m3.1 start a 3\n 1900 s got a given_up\n" + recorded("p", 2, 3) + recorded("a", 2, 3), "charged"},
	{"poison, and a task beside its first two attempts is given up", poisoned + "0 s send a\n 1 s accepted a\n 5 m1.1 start a 1\n 605 m2.1 start a 2\n 1900 s got a given_up", "charged"},
	{"poison, and a task beside its first two attempts is given up, which a dead minion had held", poisoned + "0 s send a\n 1 s accepted a\n 5 m1.1 start a 2\n 605 m2.1 start a 3\n 1900 s got a given_up", ""},
	{"poison, and a task beside its last two attempts is given up, which a dead minion had held", poisoned + "0 s send a\n 1 s accepted a\n 605 m2.1 start a 2\n 1205 m3.1 start a 3\n 1900 s got a given_up", "charged"},
	{"group, a member is given up", groupGivenUp + "750 s got g failed 1", ""},
	{"group, the callback is given up", groupCallbackGivenUp + "1650 s got g given_up", ""},
	{"group, the callback is given up, and it succeeds", groupCallbackGivenUp + "1650 s got g succeeded gc#1", "wrong end, wrong result"},
	{"group, a member is given up, and so is the group", groupGivenUp + "750 s got g given_up", "wrong end"},
	{"group, a member is given up, and it succeeds", groupGivenUp + "750 s got g succeeded gc#1", "wrong end, wrong result"},
	{"group, a member is given up, and the error names another one", groupGivenUp + "750 s got g failed 0", "wrong end"},

	{"stored again with its seal, and never started", good + "3 x replayed b a", ""},
	{"stored again with its seal, and started", good + "3 x replayed b a\n 7 m1.1 start a 1 - b", "forged, unexplained"},

	{"paused, and started after it was resumed", "1 s paused p\n 2 s send a pause p\n 3 s accepted a\n 9 s resuming p\n 10 m start a 1\n 11 m return a 1 ok\n 12 s got a succeeded a#1", ""},
	{"started while it was paused", "1 s paused p\n 2 s send a pause p\n 3 s accepted a\n 5 m start a 1\n 7 s resuming p\n 11 m return a 1 ok\n 12 s got a succeeded a#1", "after pause"},
	{"started again while it was paused", "1 s paused p\n 2 s send a pause p\n 3 s accepted a\n 9 s resuming p\n 10 m start a 1\n 11 m return a 1 retry\n 12 s paused p\n 13 m start a 2\n 14 m return a 2 ok\n 15 s got a succeeded a#2", ""},
	{"paused, and never resumed", "1 s paused p\n 2 s send a pause p\n 3 s accepted a\n 5 m start a 1\n 11 m return a 1 ok\n 12 s got a succeeded a#1", "after pause"},
	{"sent before the pause", "1 s send a pause p\n 2 s accepted a\n 3 s paused p\n 5 m start a 1\n 11 m return a 1 ok\n 12 s got a succeeded a#1", ""},
	{"started while another one was paused", "1 s paused q\n 2 s send a pause p\n 3 s accepted a\n 5 m start a 1\n 11 m return a 1 ok\n 12 s got a succeeded a#1", ""},
	{"started while it was paused, after the server was killed", "1 s paused p\n 2 s send a pause p\n 3 s accepted a\n 4 i hit server server_kill 5\n 6 m start a 1\n 11 m return a 1 ok\n 12 s got a succeeded a#1", ""},

	{"full, and refused", full + "5 s refused b full\n" + emptied, ""},
	{"full, and stored", full + "5 s accepted b\n" + emptied + "13 m start b 1\n 14 m return b 1 ok\n 15 s got b succeeded b#1", "overfull"},
	{"full, and stored when a task has started", full + emptied + "13 s accepted b\n 13 m start b 1\n 14 m return b 1 ok\n 15 s got b succeeded b#1", ""},
	{"full, and stored after the server was killed", full + "3 i hit server server_kill 4\n 5 s accepted b\n" + emptied + "13 m start b 1\n 14 m return b 1 ok\n 15 s got b succeeded b#1", ""},
	{"room for two", strings.ReplaceAll(full, "bound 1", "bound 2") + "5 s accepted b\n" + emptied + "13 m start b 1\n 14 m return b 1 ok\n 15 s got b succeeded b#1", ""},
	{"refused although there is room for two", strings.ReplaceAll(full, "bound 1", "bound 2") + "5 s refused b full\n" + emptied, "no room"},
	{"refused although there is room", "1 s send a bound 1\n 2 s accepted a\n 3 m start a 1\n 4 m return a 1 ok\n 5 s got a succeeded a#1\n 6 s send b bound 1\n 7 s refused b full", "no room"},
	{"refused when another one may have been stored", "1 s send a bound 1\n 2 s unknown a\n 6 s send b bound 1\n 7 s refused b full", ""},
	{"waits for room in vain", waiting("5000"), "no room"},
	{"waits for room, and has little time", waiting("10"), "no room"},
	{"waits for room, and another one has ended just before", strings.Replace(waiting("5000"), "5 s got", "4000 s got", 1), ""},
	{"waits for room in a process that was stopped", "2500 i hit s freeze 4000\n" + waiting("5000"), ""},
	{"alone, one after the other", alone + "20 m1.1 start b 1\n 25 m1.1 return b 1 ok\n 26 s got b succeeded b#1", ""},
	{"alone, and two at once", alone + "7 m1.1 start b 1\n 25 m1.1 return b 1 ok\n 26 s got b succeeded b#1", "crowded"},
	{"alone, beside one whose minion was killed", aloneKilled + "120 m1.1 start b 1\n 125 m1.1 return b 1 ok\n 126 s got b succeeded b#1", ""},
	{"alone, beside one whose minion was killed, within its lease", aloneKilled + "39 m1.1 start b 1\n 125 m1.1 return b 1 ok\n 126 s got b succeeded b#1", "crowded"},
	{"sequence", line + "9 m0.1 start a 1\n 10 m0.1 return a 1 ok\n 11 s got a succeeded a#1\n 12 m1.1 start b 1\n 13 m1.1 return b 1 ok\n 14 s got b succeeded b#1", ""},
	{"sequence, in the wrong order", line + "13 m0.1 start a 1\n 14 m0.1 return a 1 ok\n 15 s got a succeeded a#1\n 10 m1.1 start b 1\n 11 m1.1 return b 1 ok\n 12 s got b succeeded b#1", "out of order"},
	{"sequence, a retry behind the next one", line + "5 m0.1 start a 1\n 6 m0.1 return a 1 retry\n 13 m0.1 start a 2\n 14 m0.1 return a 2 ok\n 15 s got a succeeded a#2\n" +
		"10 m1.1 start b 1\n 11 m1.1 return b 1 ok\n 12 s got b succeeded b#1", "out of order"},
	{"schedule", ticks(1000, 2000, 3000), ""},
	{"schedule, a tick is missing", ticks(1000, 3000), "untimely"},
	{"schedule, a tick may be lost by a failover", ticks(1000, 3000) + "1500 i hit server failover 2500\n", ""},
	{"schedule, a tick is missing long before a failover", ticks(1000, 3000) + "40000 i hit server failover 41000\n", "untimely"},
	{"schedule, a tick of no time", ticks(1000, 1500, 2000, 3000), "untimely"},
	{"schedule, a tick after the end", ticks(1000, 2000, 3000, 4000), "untimely"},
	{"schedule, a tick starts early", strings.Replace(ticks(1000, 2000, 3000), "2010 m0.1 start", "1980 m0.1 start", 1), "untimely"},
	{"schedule, paused", halt(1500, 2500) + ticks(1000, 3000), ""},
	{"schedule, paused soon after a tick was due", halt(2005, 2500) + ticks(1000, 3000), ""},
	{"schedule, a tick is missing before a pause", halt(2500, 2600) + ticks(2000, 3000), "untimely"},
	{"schedule, a tick is missing after a pause", halt(500, 1500) + ticks(3000), "untimely"},
	{"schedule, a tick is missing between two pauses", halt(500, 1500) + halt(2500, 2600) + ticks(3000), ""},
	{"schedule, perhaps paused by a process that was killed", "1500 s stopping p\n" + ticks(1000), ""},
	{"schedule, a tick is missing before it was perhaps paused", "2500 s stopping p\n" + ticks(2000), "untimely"},
	{"schedule, perhaps paused and then resumed", "500 s stopping p\n 1500 s continued p\n" + ticks(2000), "untimely"},
	{"schedule, its resume may be lost by a failover", halt(100, 300) + "500 i hit server failover 600\n" + ticks(), ""},
	{"schedule, its resume is stored before a failover", halt(100, 300) + "1500 i hit server failover 1600\n" + ticks(), "untimely"},
	{"schedule, a tick while it is paused", halt(1500, 2500) + ticks(1000, 2000, 3000), "untimely"},
	{"schedule, paused for good", "1500 s stopped p\n" + ticks(1000, 2000, 3000), "untimely, untimely"},
	{"schedule, paused for good just before a power failure", "1500 s stopped p\n 2100 i hit server power_failure 2150\n" + ticks(1000, 2000, 3000), ""},
	{"schedule, paused after its ticks", "3500 s stopped p\n" + ticks(1000, 2000, 3000), ""},
	{"schedule, not known to be stored", strings.Replace(ticks(1000, 3000), "100 s ticks", "100 s0 recorded", 1), ""},
	{"sequence of an unknown order", strings.Replace(line, "1 s accepted a", "1 s unknown a", 1) +
		"13 m0.1 start a 1\n 14 m0.1 return a 1 ok\n 15 s got a succeeded a#1\n 10 m1.1 start b 1\n 11 m1.1 return b 1 ok\n 12 s got b succeeded b#1", ""},

	{"unique, and cancelled", ranOn + "500 m return a 1 cut\n 501 s got a canceled\n" + newest, ""},
	{"unique, and not cancelled", ranOn + "4000 m return a 1 ok\n 4001 s got a succeeded a#1\n" + newest, "after kill"},
	{"unique, and not cancelled by a task that only waits", strings.Replace(ranOn, "cancels", "replaces", 1) + "4000 m return a 1 ok\n 4001 s got a succeeded a#1\n" + newest, ""},
	{"unique, and not cancelled by a minion that was stopped", "1500 i hit m stop 3900\n" + ranOn + "4000 m return a 1 ok\n 4001 s got a succeeded a#1\n" + newest, ""},
	{"unique, one after the other", unique + "20 m1.1 start b 1\n 25 m1.1 return b 1 ok\n 26 s got b succeeded b#1", ""},
	{"unique, and two at once", unique + "7 m1.1 start b 1\n 25 m1.1 return b 1 ok\n 26 s got b succeeded b#1", "crowded"},
	{"unique, and free at the start", strings.ReplaceAll(unique, "unique x", "unique x start") + "7 m1.1 start b 1\n 25 m1.1 return b 1 ok\n 26 s got b succeeded b#1", ""},
	{"unique, refused while the other one runs", uniqueRefused("10", ""), ""},
	{"unique, refused when the other one has ended", uniqueRefused("30", ""), "outlived"},
	{"unique, refused when the other one has ended, and its window has not", uniqueRefused("30", " window"), ""},
	{"unique, refused when the other one has started", uniqueRefused("10", " start"), "outlived"},
	{"unique, refused before the other one starts", uniqueRefused("3", " start"), ""},
	{"unique, refused because of a task that was lost in a failover", uniqueRefused("30", "") + "17 i hit server failover 18", ""},
	{"unique, replaced", uniqueReplaced, ""},
	{"unique, replaced by a task that does not replace", strings.ReplaceAll(uniqueReplaced, " replaces", ""), "wrong end"},
	{"unique, replaced by a task with another key", strings.ReplaceAll(uniqueReplaced, "x replaces", "y replaces"), "wrong end"},
	{"unique, replaced, and started all the same", uniqueReplaced + "8 m1.1 start a 1\n 9 m1.1 return a 1 cut", "after kill"},
	{"unique, replaced after an attempt", uniqueReplaced + "2 m1.1 start a 1\n 3 m1.1 return a 1 retry", ""},

	{"damaged, and lost", good + "0 i damaged v\n 1 s accepted v\n 2 m start v 1\n 3 m start v 1", ""},
	{"a script that takes too long", good + "7 i script server settle", "too long"},
	{"a minion that is back soon after all faults", good + "1000 i served m0.1 1300", ""},
	{"a minion that is back late after all faults", good + "1000 i served m0.1 1450", "late"},
	{"a minion that is back late because of a slow machine", good + "1000 i served m0.1 1450\n 1100 m0.1 hit m0.1 pause 1200", ""},
	{"a minion that does not serve one of its queues", good + "1000 i served m0.1 1800 b", "late"},
	{"a minion that ends by itself", good + "7 i hit m0.1 process_died", "brought down"},
	{"a server that ends by itself", good + "7 i hit server server_died", "brought down"},
	{"killed while it runs", "0 s send a\n 1 s accepted a\n 2 m start a 1\n 3 s kill a\n 4 s killed a stopping\n 5 m return a 1 cut\n 7 s got a canceled", ""},
	{"killed while it runs, and retried", "0 s send a\n 1 s accepted a\n 2 m start a 1\n 3 s kill a\n 4 s killed a stopping\n 5 m return a 1 retry\n 1200 m start a 2\n 1201 m return a 2 ok\n 1207 s got a succeeded a#2", "after kill"},

	{"killed while it runs, and retried at once", "0 s send a\n 1 s accepted a\n 2 m start a 1\n 3 s kill a\n 4 s killed a stopping\n 5 m return a 1 retry\n 55 m start a 2\n 56 m return a 2 ok\n 57 s got a succeeded a#2", "after kill"},
	{"killed while it runs, and started by another minion", killedThere + "1200 m1.1 start a 2\n 1201 m1.1 return a 2 cut\n 1207 s got a canceled", "after kill"},
	{"killed while it runs, and started by another minion that was stopped", killedThere + "1150 i hit m1.1 stop 1160\n 1200 m1.1 start a 2\n 1201 m1.1 return a 2 cut\n 1207 s got a canceled", "after kill"},
	{"killed while it runs without a lease, and started by another minion that was stopped", "1 i hit m0.1 freeze 3\n" + killedThere + "1150 i hit m1.1 stop 1160\n 1200 m1.1 start a 2\n 1201 m1.1 return a 2 cut\n 1207 s got a canceled", ""},
	{"killed when it was about to start", "0 s send a\n 1 s accepted a\n 3 s kill a\n 4 s killed a stopping\n 55 m start a 1\n 56 m return a 1 cut\n 57 s got a canceled", ""},

	{"as many tasks as slots", crowd("2/3/0", "1/3/0"), ""},
	{"more tasks than slots", crowd("2/3/0", "2/3/0"), "crowded"},
	{"more tasks than slots, one of which waits for others", crowd("3/3/0", "0/3/0"), ""},
	{"more tasks than slots, of two minions", strings.NewReplacer("m0.1 start b", "m0.2 start b", "m0.1 return b", "m0.2 return b").Replace(crowd("2/3/0", "2/3/0")), ""},
	{"more tasks of a name than its ceiling allows", crowd("1/3/1", "1/3/1"), "crowded"},
	{"as many tasks of a name as its ceiling allows", crowd("1/3/2", "1/3/2"), ""},
	{"a task beside one with a ceiling", crowd("1/3/1", "1/3/0"), ""},

	{"promise kept", good + "7 m0.1 promise b 1 a\n 15 m start b 1\n 16 m return b 1 ok\n 17 i got b succeeded b#1", ""},
	{"promise broken", good + "7 m0.1 promise b 1 a", "lost"},
	{"promise of an attempt that failed", "0 s send a\n 5 m start a 1\n 6 m promise b 1 a\n 7 m return a 1 fail\n 8 s got a failed a#1\n 15 m start b 1\n 16 m return b 1 ok\n 17 i got b succeeded b#1", "unexplained"},

	{"pipe", pipe, ""},
	{"pipe, a step too soon", strings.Replace(pipe, "10 m start y", "5 m start y", 1), "out of order"},
	{"pipe, a step with another result", strings.Replace(pipe, "y 1 x#1", "y 1 x#2", 1), "out of order, wrong result, settled twice"},
	{"pipe that fails without a cause", strings.Replace(pipe, "succeeded y#1", "failed", 1), "wrong end"},
	{"pipe whose error names a step that has not failed", strings.Replace(pipe, "succeeded y#1", "failed 0", 1), "wrong end, wrong end"},
	{"pipe, a step is killed, and the error names another one", stepKilled + "9 s got p failed 0", "wrong end"},
	{"pipe, a step is killed, and the error names it", stepKilled + "9 s got p failed 1", ""},
	{"pipe, a step is killed, and it is canceled", stepKilled + "9 s got p canceled", "wrong end"},
	{"pipe that ends with another result", strings.Replace(pipe, "p succeeded y#1", "p succeeded y#3", 1), "wrong result, settled twice"},

	{"lost in a failover", "0 s send a\n 1 s accepted a\n 500 i hit server failover 900", ""},
	{"lost long before a failover", "0 s send a\n 1 s accepted a\n 1500 i hit server failover 1900", "lost"},
	{"lost in a power failure", "0 s send a\n 1 s accepted a\n 500 i hit server power_failure 900", ""},
	{"lost long before a power failure", "0 s send a\n 1 s accepted a\n 1500 i hit server power_failure 1900", "lost"},
	{"promised by an attempt that a power failure took back", "0 s send a\n 5 m0.1 start a 1\n 6 m0.1 promise b 1 a\n 8 m0.1 return a 1 ok\n 12 s got a succeeded a#1\n 500 i hit server power_failure 900", ""},

	{"group", group, ""},
	{"group, no callback", without(group, "gc"), "not once, out of order, wrong result"},
	{"group, no finalizer", without(group, "gf"), "not once"},
	{"group, callback too soon", strings.Replace(group, "10 m start gc", "7 m start gc", 1), "out of order"},
	{"group, finalizer too soon", strings.Replace(group, "20 m start gf", "11 m start gf", 1), "out of order"},
	{"group, another result handed on", strings.Replace(group, "x#1,y#1", "x#1,y#2", 1), "wrong result, settled twice"},
	{"group, callback twice", group + "15 m start gc 2 x#1,y#1", "unexplained, settled twice"},
	{"group that fails", failing, ""},
	{"group that fails, and its callback runs", failing + "10 m start gc 1\n 11 m return gc 1 ok\n 12 i got gc succeeded gc#1", "not once"},
	{"group that collects failures", collecting, ""},
	{"group that collects failures, no callback", without(collecting, "gc"), "not once, out of order, wrong result"},

	{"group, killed in time", killed, ""},
	{"group, killed, and its finalizer not run", without(killed, "gf"), "not once"},
	{"group, killed, and a member starts", killed + "9 m start y 1\n 10 i got y canceled", "after kill"},
	{"group, killed, and a member starts much later", killed + "1100 m start z 1\n 1101 m return z 1 cut\n 1102 i got z canceled", "after kill"},
	{"group, killed, and its callback starts", killed + "1100 m start gc 1\n 1101 m return gc 1 cut\n 1102 i got gc canceled", "after kill, out of order"},
	{"group, killed, and a minion that was stopped starts a part", killed + "6 i hit m stop 1050\n 1100 m start z 1\n 1101 m return z 1 cut\n 1102 i got z canceled", ""},
	{"group, killed in time, and it succeeds", strings.Replace(killed, "22 s got g canceled", "22 s got g succeeded", 1), "after kill, wrong result"},
	{"group, killed when it had failed", killedFailed, ""},
	{"group, killed, and it fails", strings.Replace(killedFailed, "3 m return x 1 fail", "6 m return x 1 fail", 1), "after kill"},
	{"group, killed, and it fails without a failed member", strings.ReplaceAll(killedFailed, "failing", "group"), "after kill"},
	{"group, killed, and a member that was about to start does", killedLate, ""},
	{"group, killed, and a member starts much later", strings.Replace(killedLate, "7 m start y", "1500 m start y", 1), "after kill"},

	{"squad", squad, ""},
	{"squad, refused", "0 s send g squad x,y\n 1 s refused g", ""},
	{"squad, started, and none of it runs", "0 s send g squad x,y\n 1 s accepted g", "lost, lost"},
	{"squad, refused, and runs", strings.Replace(squad, "accepted", "refused", 1), "after refusal"},
	{"squad, refused, and one member alone runs", "0 s send g squad x,y\n 1 s refused g\n 2 m start x 1\n 3 m return x 1 ok\n 4 i got x succeeded x#1", "after refusal, in part"},
	{"squad, a member never starts", without(squad, "y"), "in part, out of order, out of order, wrong result"},
	{"squad, indeterminate, a member starts alone", "0 s send g squad x,y\n 1 s unknown g\n 2 m start x 1\n 6 m return x 1 ok\n 23 i got x succeeded x#1", "in part"},
	{"squad, not started, and its finalizer runs", "0 s send g squad x,y\n 1 s unknown g\n 2 m start gf 1\n 6 m return gf 1 ok\n 23 i got gf succeeded gf#1", "in part, out of order"},
	{"squad, a member starts late", lagging + "2200 m start y 1\n 2201 m return y 1 ok", "in part"},
	{"squad, a member starts late because of a fault", lagging + "1800 i hit m stop 2190\n 2200 m start y 1\n 2201 m return y 1 ok", ""},
	{"squad, a member starts late, with a fault of another minion", lagging + "3 i hit m7 end 5\n 2200 m start y 1\n 2201 m return y 1 ok", "in part"},
	{"squad, a member starts late because a minion that ended gave it back unstarted", lagging + "3 i hit m7 end 1500\n 2200 m start y 1\n 2201 m return y 1 ok", ""},
	{"squad, a second start is late without a fault", strings.ReplaceAll(lagging, "y#1", "y#2") + "2200 m start y 2\n 2201 m return y 2 ok", "in part"},
	{"squad, a minion that ended gave all back, and one queue was not served", strings.NewReplacer("y#1", "y#2", "x 1", "x 2", "x#1", "x#2").Replace(lagging) +
		"2 i hit m7 end 2190\n 2200 m start y 2\n 2201 m return y 2 ok", ""},
	{"squad, a member starts late because of a fault of its first minion", strings.ReplaceAll(lagging, "y#1", "y#2") + "4 i hit m7 kill 5\n 2090 i hit m7 kill\n 2200 m start y 2\n 2201 m return y 2 ok", ""},
	{"squad, a member starts late because it is suspected of a death", strings.ReplaceAll(lagging, "y#1", "y#2") + "2 m7 recorded y 1\n 4 i hit m7 kill\n 2200 m start y 2\n 2201 m return y 2 ok", ""},
	{"squad, a member starts late, and a living minion had recorded its start", strings.ReplaceAll(lagging, "y#1", "y#2") + "2 m7 recorded y 1\n 4 i hit m8 kill\n 2200 m start y 2\n 2201 m return y 2 ok", "in part"},

	{"prompt", "0 s send a prompt\n 5 m start a 1\n 9 m return a 1 ok\n 13 i got a succeeded a#1", ""},
	{"late on a slow machine", "0 s send a prompt\n 40 s accepted a\n 105 m start a 1\n 109 m return a 1 ok\n 113 i got a succeeded a#1", ""},
	{"late on a machine that is not so slow", "0 s send a prompt\n 30 s accepted a\n 105 m start a 1\n 109 m return a 1 ok\n 113 i got a succeeded a#1", "late"},
	{"late", "0 s send a prompt\n 105 m start a 1\n 109 m return a 1 ok\n 113 i got a succeeded a#1", "late"},
	{"served again", "0 s send a over\n 395 m start a 1\n 399 m return a 1 ok\n 403 i got a succeeded a#1", ""},
	{"served again late", "0 s send a over\n 405 m start a 1\n 409 m return a 1 ok\n 413 i got a succeeded a#1", "late"},
	{"served again late by a slow machine", "0 s send a over\n 100 i hit m pause 110\n 405 m start a 1\n 409 m return a 1 ok\n 413 i got a succeeded a#1", ""},
	{"served again later than by a slow machine", "0 s send a over\n 100 i hit m pause 103\n 405 m start a 1\n 409 m return a 1 ok\n 413 i got a succeeded a#1", "late"},
	{"late by a slow machine", "0 s send a prompt\n 3 i hit m pause 100\n 105 m start a 1\n 109 m return a 1 ok\n 113 i got a succeeded a#1", ""},
}

// The beginning of a history in which a queue has room for one task, and the end of it.
const (
	full    = "1 s paused p\n 2 s send a bound 1 - p\n 3 s accepted a\n 4 s send b bound 1 - p\n"
	emptied = "9 s resuming p\n 10 m start a 1\n 11 m return a 1 ok\n 12 s got a succeeded a#1\n"
)

// The beginning of a history in which a task cancels another one with its unique key, and the end of it.
const (
	ranOn  = "1 s send a unique x long\n 2 s accepted a\n 3 m start a 1\n 100 s send b unique x cancels\n 101 s accepted b\n"
	newest = "4010 m start b 1\n 4011 m return b 1 ok\n 4012 s got b succeeded b#1"
)

// waiting returns the history of a call that waits for room until a time.
func waiting(until string) string {
	return "1 s send a bound 1\n 2 s accepted a\n 3 m start a 1\n 4 m return a 1 ok\n 5 s got a succeeded a#1\n 6 s send b bound 1 waits\n" + until + " s refused b full"
}

// charges returns the history of a task that runs again after each of several faults, and is given
// up after the last one.
func charges(faults ...string) string {
	var b strings.Builder
	b.WriteString("0 s send a\n 1 s accepted a\n")
	for i, fault := range faults {
		at := 600 * i
		fmt.Fprintf(&b, "%d m%d.1 start a %d\n", at+5, i+1, i+1)
		if fault != "-" {
			fmt.Fprintf(&b, "%d i hit %s %s %d\n", at+10, target(fault, i+1), fault, at+150)
		}
	}
	fmt.Fprintf(&b, "%d s got a given_up\n", 600*len(faults)+100)
	return b.String()
}

// recorded returns the notes of a simulation that the starts of some attempts were recorded, which
// run as those of [charges].
func recorded(key string, attempts ...int) string {
	text := ""
	for _, n := range attempts {
		text += fmt.Sprintf("%d m%d.1 recorded %s %d\n", 600*(n-1)+5, n, key, n)
	}
	return text
}

// target returns the target of a fault that strikes the attempt on a host.
func target(fault string, host int) string {
	switch fault {
	case "server_kill":
		return Server
	case "kill", "end":
		return fmt.Sprintf("m%d.1", host)
	}
	return fmt.Sprintf("m%d", host)
}

// poisoned is the history of a task that ends each process that runs it.
const poisoned = `
	0 s send p
	1 s accepted p
	5 m1.1 start p 1
	10 i hit m1.1 poison - p
	605 m2.1 start p 2
	610 i hit m2.1 poison - p
	1205 m3.1 start p 3
	1210 i hit m3.1 poison - p
	1900 s got p given_up
`

const groupGivenUp = `
	0 s send g group x,y
	1 s accepted g
	2 m1.1 start x 1
	3 m1.1 return x 1 ok
	5 m1.1 start y 1
	6 i hit m1.1 kill
	205 m2.1 start y 2
	206 i hit m2.1 kill
	405 m3.1 start y 3
	406 i hit m3.1 kill
	700 m start gf 1
	701 m return gf 1 ok
	800 i got x succeeded x#1
	800 i got y given_up
	801 i got gc canceled
	803 i got gf succeeded gf#1
	`

const groupCallbackGivenUp = `
	0 s send g group x,y
	1 s accepted g
	2 m start x 1
	3 m return x 1 ok
	4 m start y 1
	5 m return y 1 ok
	10 m1.1 start gc 1 x#1,y#1
	15 i hit m1.1 kill 155
	610 m2.1 start gc 2 x#1,y#1
	615 i hit m2.1 kill 755
	1210 m3.1 start gc 3 x#1,y#1
	1215 i hit m3.1 kill 1355
	1640 m start gf 1
	1641 m return gf 1 ok
	1650 i got x succeeded x#1
	1650 i got y succeeded y#1
	1650 i got gc given_up
	1653 i got gf succeeded gf#1
	`

const killed = `
	0 s send g group x,y,z
	1 s accepted g
	2 m start x 1
	3 s kill g
	4 s killed g never_started
	4 s killed y never_started
	6 m return x 1 cut
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g canceled
	23 i got x canceled
	26 i got gf succeeded gf#1
`

// A member fails just before the group is killed.
const killedFailed = `
	0 s send g failing x,y
	1 s accepted g
	2 m start x 1
	3 m return x 1 fail
	4 s kill g
	5 s killed g never_started
	5 s killed y never_started
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g failed
	23 i got x failed x#1
	24 i got y canceled
	26 i got gf succeeded gf#1
`

// One member runs when the group is killed, and the other is about to start.
const killedLate = `
	0 s send g group x,y
	1 s accepted g
	2 m start x 1
	5 s kill g
	6 s killed g too_late
	7 m start y 1
	8 m return y 1 cut
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g canceled
	23 i got x canceled
	24 i got y canceled
	26 i got gf succeeded gf#1
`

const squad = `
	0 s send g squad x,y
	1 s accepted g
	22 s got g succeeded gc#1
` + parts

const lagging = `
	0 s send g squad x,y
	1 s accepted g
	2 m start x 1
	6 m return x 1 ok
	2300 m start gc 1 x#1,y#1
	2310 m return gc 1 ok
	2320 m start gf 1
	2321 m return gf 1 ok
	2322 s got g succeeded gc#1
	2323 i got x succeeded x#1
	2324 i got y succeeded y#1
	2325 i got gc succeeded gc#1
	2326 i got gf succeeded gf#1
`

const pipe = `
	0 s send p pipe x,y
	1 s accepted p
	2 m start x 1
	6 m return x 1 ok
	10 m start y 1 x#1
	11 m return y 1 ok
	12 s got p succeeded y#1
	13 i got x succeeded x#1
	14 i got y succeeded y#1
`

const stepKilled = `
	0 s send p pipe x,y
	1 s accepted p
	2 m start x 1
	3 s kill y
	4 s killed y never_started
	6 m return x 1 cut
	7 i got x canceled
	8 i got y canceled
	`

const parts = `
	2 m start x 1
	6 m return x 1 ok
	3 m start y 1
	8 m return y 1 ok
	10 m start gc 1 x#1,y#1
	12 m return gc 1 ok
	20 m start gf 1
	21 m return gf 1 ok
	23 i got x succeeded x#1
	24 i got y succeeded y#1
	25 i got gc succeeded gc#1
	26 i got gf succeeded gf#1
`

const group = `
	0 s send g group x,y
	1 s accepted g
	22 s got g succeeded gc#1
` + parts

const collecting = `
	0 s send g collecting x,y
	1 s accepted g
	2 m start x 1
	6 m return x 1 fail
	3 m start y 1
	8 m return y 1 ok
	10 m start gc 1
	12 m return gc 1 ok
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g succeeded gc#1
	23 i got x failed x#1
	24 i got y succeeded y#1
	25 i got gc succeeded gc#1
	26 i got gf succeeded gf#1
`

const failing = `
	0 s send g failing x,y
	1 s accepted g
	2 m start x 1
	6 m return x 1 fail
	20 m start gf 1
	21 m return gf 1 ok
	22 s got g failed
	23 i got x failed x#1
	24 i got y canceled
	26 i got gf succeeded gf#1
`

// alone are two tasks that share a limit of one. The first one runs from 5 to 15.
const alone = `
	0 s send a alone x
	0 s send b alone x
	1 s accepted a
	1 s accepted b
	5 m0.1 start a 1
	15 m0.1 return a 1 ok
	16 s got a succeeded a#1
`

// aloneKilled are two such tasks. The minion of the first one is killed at 20, and it runs again
// after the second one.
const aloneKilled = `
	0 s send a alone x
	0 s send b alone x
	1 s accepted a
	1 s accepted b
	5 m0.1 start a 1
	20 i hit m0.1 kill
	200 m0.2 start a 2
	210 m0.2 return a 2 ok
	211 s got a succeeded a#2
`

// unique are two tasks with the same unique key. The first one runs from 5 to 15.
const unique = `
	0 s send a unique x
	0 s send b unique x
	1 s accepted a a
	2 s accepted b b
	5 m0.1 start a 1
	15 m0.1 return a 1 ok
	16 s got a succeeded a#1
`

// uniqueRefused are two such tasks. The second one is sent later, and is refused because of the first one.
func uniqueRefused(at, rule string) string {
	return `
	0 s send a unique x` + rule + `
	1 s accepted a a
	5 m0.1 start a 1
	15 m0.1 return a 1 ok
	16 s got a succeeded a#1
	` + at + ` s send b unique x
	31 s refused b a
`
}

// uniqueReplaced are two such tasks. The second one has replaced the first one.
const uniqueReplaced = `
	0 s send a unique x
	1 s accepted a a
	4 s send b unique x replaces
	6 s accepted b b
	7 s got a canceled - b
	10 m0.1 start b 1
	15 m0.1 return b 1 ok
	16 s got b succeeded b#1
`

// line are two tasks of a sequence.
const line = `
	0 s send a line x 1
	0 s send b line x 2
	1 s accepted a
	1 s accepted b
`

// killedThere is a task that is killed while a minion runs it. The minion dies at 20.
const killedThere = `
	0 s send a
	1 s accepted a
	2 m0.1 start a 1
	3 s kill a
	4 s killed a stopping
	20 i hit m0.1 kill
`

// halt is a pause of the schedule p.
func halt(from, to int) string {
	return fmt.Sprintf("%d s stopping p\n %d s stopped p\n %d s continue p\n %d s continued p\n", from-10, from, to, to+10)
}

// ticks is a history of the schedule p, which is due each second up to the third one. The ticks with these nominal times run.
func ticks(nominals ...int) string {
	text := "100 s ticks p 1000 3000\n"
	for _, n := range nominals {
		text += fmt.Sprintf("%[1]d m0.1 start p%[2]d 1 - - 0 1/8/0 p@%[2]d\n %[3]d m0.1 return p%[2]d 1 ok\n 5000 s got p%[2]d succeeded p%[2]d#1\n", n+10, n, n+20)
	}
	return text
}
