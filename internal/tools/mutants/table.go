package main

// mutant is one defect.
type mutant struct {
	name  string
	edits []edit
	pkg   string   // of the tests, from the module's root
	tests []string // that are to notice, at least one of them
}

const (
	lifecycle = "internal/lifecycle"
	policies  = "internal/policy"
	grpcapi   = "emulator/internal/grpcapi"
	egressPkg = "internal/egress"

	worktreePkg = "internal/worktree"
)

var mutants = []mutant{
	{
		name:  "down does not disable the account",
		edits: []edit{{lifecycle, "downRun.begin", `$d.disable(ctx, $d.account)`, ``}},
		pkg:   lifecycle, tests: []string{"TestDownGoesInOrder"},
	},
	{
		name: "policies are written without their etag",
		edits: []edit{{
			policies, "Policy.Encode",
			`return $o.encode(), nil`,
			`$o.fields = slices.DeleteFunc($o.fields, func(f field) bool { return f.name == "etag" })
			return $o.encode(), nil`,
		}},
		pkg: lifecycle, tests: []string{"TestNeighbourBetweenReadAndWrite"},
	},
	{
		name:  "a socket is offered to the network",
		edits: []edit{{"internal/command", "parseConnect", `!o.Listen.Addr().IsLoopback()`, `false`}},
		pkg:   "cmd/taskiam-inside", tests: []string{"TestScripts"},
	},
	{
		name:  "whoever connects in vain fills the log",
		edits: []edit{{"internal/relay", "Order.dialer", `!failed.Swap(true)`, `true`}},
		pkg:   "cmd/taskiam-inside", tests: []string{"TestAServerMayBeStartedAnew"},
	},
	{
		name:  "a connection outlives the process that wanted it",
		edits: []edit{{"internal/relay", "untilOrphaned", `parent() == first`, `parent() != 0`}},
		pkg:   "cmd/taskiam-inside", tests: []string{"TestItEndsWithWhatStartedIt"},
	},
	{
		name:  "a signal ends connect and not its command",
		edits: []edit{{"internal/child", "Run", `!FromTerminal(s)`, `false`}},
		pkg:   "cmd/taskiam-inside", tests: []string{"TestSignalsAreTheCommands"},
	},
	{
		name:  "the end of what was said is not passed on",
		edits: []edit{{"internal/relay", "carry", `half.CloseWrite() != nil`, `half == nil`}},
		pkg:   "internal/relay", tests: []string{"TestRelayCarriesBothWays"},
	},
	{
		name: "the account is deleted before it is unbound",
		edits: []edit{
			{lifecycle, "Engine.finish", `unbinding.Wait()`, ``},
			{lifecycle, "Engine.finish", `g.check(ctx)`, `unbinding.Wait(); g.check(ctx)`},
		},
		pkg: lifecycle, tests: []string{"TestAccountOutlastsItsBindings", "TestDownGoesInOrder"},
	},
	{
		name: "bindings are matched by role only",
		edits: []edit{{
			policies, "binding.is",
			`return $b.role == role && $b.condition == $c`,
			`_ = $c; return $b.role == role`,
		}},
		pkg: lifecycle, tests: []string{"TestEndsByItself"},
	},
	{
		name:  "a project that was shut down is waited for",
		edits: []edit{{"internal/gcp", "kind", `case slices.Contains(notEnabled, $r) || $r == noConsumer:`, `case slices.Contains(notEnabled, $r):`}},
		pkg:   lifecycle, tests: []string{"TestDownInADeletedProject"},
	},
	{
		name:  "the journal is not fsynced",
		edits: []edit{{"internal/journal", "write", `return $f.Sync()`, `return nil`}},
		pkg:   lifecycle, tests: []string{"TestPowerLostAtEveryDiskOperation"},
	},
	{
		name: "the journal's account is believed without its unique id and mark",
		edits: []edit{{
			lifecycle, "target.judge", `case $m && !$o:`, `case $m || $o || !$o:`,
		}},
		pkg: lifecycle, tests: []string{"TestAccountOfTheSameNameIsNotTouched"},
	},
	{
		name: "conditions are said to have survived without a look",
		edits: []edit{{
			lifecycle, "survived", ``,
			`
			if len(edit.Bindings) > 0 { return nil }`,
		}},
		pkg: lifecycle, tests: []string{"TestDroppedConditionIsUndone"},
	},
	{
		name: "sweep deletes accounts without a complete search",
		edits: []edit{{
			lifecycle, "sweeper.findingsOf",
			`complete := o.journal != nil || len(o.target.resources) > 0`,
			`complete := true`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepThatMayNotSearch"},
	},
	{
		name: "sweep takes an account for a run's by its id, without the mark",
		edits: []edit{{
			lifecycle, "sweeper.disable",
			`mark, ours := markOf($a, project)`,
			`mark, ours := markOf($a, project)
			if run, is := grants.RunOf($a.Email, project); is && !ours {
				mark, ours = grants.Mark{Run: run}, true
			}`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepLeavesLookAlikesAlone"},
	},
	{
		name:  "sweep tells what is over by the machine's clock",
		edits: []edit{{lifecycle, "sweeper.isOver", `$s.Cloud.Clock()`, `$s.Now()`}},
		pkg:   lifecycle, tests: []string{"TestSweepByTheCloudsClock"},
	},
	{
		name:  "down believes its journal to be complete",
		edits: []edit{{lifecycle, "downRun.carryOut", `$d.target.cameUp &&`, `$d.target.cameUp && false &&`}},
		pkg:   lifecycle, tests: []string{"TestDownTakesWhatWasBoundByHandElsewhere"},
	},
	{
		name:  "what a search names and taskiam cannot edit is passed over",
		edits: []edit{{lifecycle, "downRun.addFound", `$d.leaveUnknown($m.Resource, $bindings)`, `_ = $bindings`}},
		pkg:   lifecycle, tests: []string{"TestDownNamesWhatItCannotEdit"},
	},
	{
		name:  "what was bound by hand is not journalled before it is removed",
		edits: []edit{{lifecycle, "together.unbindFrom", `$d.announce($p.name, $found)`, `_ = $p`}},
		pkg:   lifecycle, tests: []string{"TestDownNamesWhatItMayNotTake"},
	},
	{
		name:  "a teardown waits for a search without a bound",
		edits: []edit{{lifecycle, "Engine.searchElsewhere", `$ctx, searchWithin,`, `$ctx, time.Hour,`}},
		pkg:   lifecycle, tests: []string{"TestDownThatCannotSearchIsNoError"},
	},
	{
		name:  "a sweep edits a policy once for each run",
		edits: []edit{{lifecycle, "byPolicy", `!$known`, `!$known || true`}},
		pkg:   lifecycle, tests: []string{"TestSweepOfManyRunsEditsEachPolicyOnce"},
	},
	{
		name: "what fails of one run in a sweep is told for all that it went with",
		edits: []edit{{
			lifecycle, "downRun.verified", `err == nil || left == ""`, `err == nil`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepOfManyRunsTellsWhoseAFailureIs"},
	},
	{
		name:  "a search that was not complete is as good for a deleted account",
		edits: []edit{{lifecycle, "downRun.removeAccount", `case $d.missing != nil:`, `case false:`}},
		pkg:   lifecycle, tests: []string{"TestDeletedAccountMayBeNamedElsewhere"},
	},
	{
		name:  "the metadata server goes on after the end of its run",
		edits: []edit{{"internal/metadata", "Server.over", `!now.Before(end.Add(-lastCall))`, `false`}},
		pkg:   "internal/metadata", tests: []string{"TestEnd"},
	},
	{
		name:  "an answer claims more life than the run has",
		edits: []edit{{"internal/metadata", "Server.claim", `left = min(left, end.Sub($s.cfg.Now()))`, ``}},
		pkg:   "internal/metadata", tests: []string{"TestExpiresIn"},
	},
	{
		name:  "a run is renewed beyond the latest end",
		edits: []edit{{lifecycle, "renewRun.end", `end = latest`, ``}},
		pkg:   lifecycle, tests: []string{"TestRenewUpToTheLimit"},
	},
	{
		name:  "the metadata server answers what was forwarded",
		edits: []edit{{"internal/metadata", "Server.ServeHTTP", `$r.Header["X-Forwarded-For"] != nil ||`, ``}},
		pkg:   "internal/metadata", tests: []string{"TestRefusals"},
	},
	{
		name:  "a sandbox counts as made although bubblewrap failed",
		edits: []edit{{"internal/isolate", "Box.listen", `n, rightsLen = 0, 0`, `n, rightsLen = 1, 0`}},
		pkg:   "internal/isolate", tests: []string{"TestBoxWithoutSandbox"},
	},
	{
		name:  "what a sandbox shows may be exchanged after it was checked",
		edits: []edit{{"internal/isolate", "Pinned.check", `id != p.Identity`, `id == ""`}},
		pkg:   "internal/isolate", tests: []string{"TestPin"},
	},
	{
		name:  "a journal is read whatever its size",
		edits: []edit{{"internal/journal", "realDisk.Read", `len(b) > maxRead`, `len(b) < 0`}},
		pkg:   "internal/journal", tests: []string{"TestHugeFile"},
	},
	{
		name:  "who has a lock is read from a pipe",
		edits: []edit{{"internal/journal", "realLock.Holder", `realDisk{}.Read`, `os.ReadFile`}},
		pkg:   "internal/journal", tests: []string{"TestLockThatIsAPipe"},
	},
	{
		name:  "another user's command is in the session of the operator's terminal",
		edits: []edit{{"internal/supervise", "User.become", `Setsid: true`, `Setsid: false`}},
		pkg:   "internal/supervise", tests: []string{"TestAnotherUserHasNoTerminal"},
	},
	{
		name:  "a manifest whose task is written in another way can be changed by a command",
		edits: []edit{{"internal/app", "isManifest", `manifest.HasTask(b)`, `manifest.HasTask(nil)`}},
		pkg:   "internal/app", tests: []string{"TestManifestsBeside"},
	},
	{
		name:  "a command can change the program that makes the operator's login",
		edits: []edit{{"internal/app", "App.relyOnLogin", `strings.Fields(s.Executable.Command)`, `nil`}},
		pkg:   "internal/app", tests: []string{"TestReliesOnLogin"},
	},
	{
		name:  "the metadata server of a sandbox answers strangers",
		edits: []edit{{"internal/isolate", "guarded.Accept", `err == nil && !held`, `err != nil && !held`}},
		pkg:   "internal/isolate", tests: []string{"TestOnlyFrom"},
	},
	{
		name: "the filter of system calls lets other architectures' programs through",
		edits: []edit{{
			"internal/isolate", "assemble",
			`bpf.RetConstant{Val: uint32(seccomp.ActionKillProcess)}`, `bpf.RetConstant{Val: uint32(seccomp.ActionAllow)}`,
		}},
		pkg: "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter does not know fchmodat2",
		edits: []edit{{"internal/isolate", "always", `"fchmodat2",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets keyrings through",
		edits: []edit{{"internal/isolate", "always", `"keyctl"`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets calls through that are newer than its table",
		edits: []edit{{"internal/isolate", "gaps", `uint32(1<<32 - 1)`, `uint32(slices.Max(slices.Collect(maps.Keys(table))))`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "user namespaces need no flag",
		edits: []edit{{"internal/isolate", "Spec.refusals", `!$s.AllowUserns`, `false`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "bubblewrap gets no filter",
		edits: []edit{{"internal/isolate", "Spec.Args", `"--seccomp"`, `"--sync-fd"`}},
		pkg:   "internal/isolate", tests: []string{"TestArgs"},
	},
	{
		name:  "a sandbox can change the machine's device nodes",
		edits: []edit{{"internal/isolate", "sealDevices", `unix.MS_RDONLY |`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestApart"},
	},
	{
		name:  "/proc/keys can be read in a sandbox",
		edits: []edit{{"internal/isolate", "hidden", `"keys"`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestSystemIsWhatIsThere"},
	},
	{
		name:  "an isolated command gets the operator's files as its streams",
		edits: []edit{{"internal/supervise", "streams.connect", `cmd.Stdout = piped{$s.overheard.on($s.Stdout)}`, `cmd.Stdout = $s.Stdout`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedStreams"},
	},
	{
		name:  "the operator's terminal stays raw after an isolated command",
		edits: []edit{{"internal/supervise", "terminal.cooked", `term.Restore(int($t.keys.Fd()), $t.saved)`, `error(nil)`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedTerminal"},
	},
	{
		name:  "a set-uid program of the command's stays one",
		edits: []edit{{"internal/isolate", "clearSetUID", `info.Mode()&^fs.ModeSetuid`, `info.Mode()`}},
		pkg:   "internal/isolate", tests: []string{"TestPrivileged"},
	},
	{
		name:  "a work tree that is for reading can be written to",
		edits: []edit{{"internal/isolate", "Spec.mounts", `$tree = BindReadOnly`, `$tree = BindWritable`}},
		pkg:   "cmd/taskiam", tests: []string{"TestTreeRead"},
	},
	{
		name:  "a hook that a command has left is not told of",
		edits: []edit{{worktreePkg, "looker.git", `$l.first = append($l.first, folder{path: path.Join($at, "hooks"), kind: Hook, link: true})`, ``}},
		pkg:   worktreePkg, tests: []string{"TestCompare"},
	},
	{
		name:  "a setting of git's that nobody knows counts as harmless",
		edits: []edit{{worktreePkg, "runs", `return !$ok`, `return false && $ok`}},
		pkg:   worktreePkg, tests: []string{"TestCompare"},
	},
	{
		name:  "settings that git cannot read count as harmless",
		edits: []edit{{worktreePkg, "looker.config", `if $err != nil {`, `if $err != nil { f.only = true; l.scan.files[at] = f`}},
		pkg:   worktreePkg, tests: []string{"TestCompare"},
	},
	{
		name:  "a tree that is too large to look through passes for one without changes",
		edits: []edit{{worktreePkg, "looker.folder", `$l.scan.cut = true`, ``}},
		pkg:   worktreePkg, tests: []string{"TestBounds"},
	},
	{
		name:  "git looks at the work tree with the settings in it",
		edits: []edit{{worktreePkg, "gitSettings", `"git", "config", "--file", "-", "--no-includes",`, `"git", "config", "--file", "-", "--includes",`}},
		pkg:   worktreePkg, tests: []string{"TestNothingIsRun"},
	},
	{
		name:  "a file that a command has left can pass for another line",
		edits: []edit{{"internal/view", "plainly", `strconv.QuoteToASCII($name)`, `$name + strconv.Itoa(0)[:0]`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedReview"},
	},
	{
		name:  "a key outlives its run",
		edits: []edit{{"internal/credentials", "KeyPair.Certificate", `NotAfter: notAfter`, `NotAfter: notAfter.AddDate(10, 0, 0)`}},
		pkg:   lifecycle, tests: []string{"TestUpThenDownLeavesNothing", "TestEndsByItself"},
	},
	{
		name:  "a renewal forgets the account's mark",
		edits: []edit{{lifecycle, "renewRun.carryOut", `$x.mark($x.expires)`, `$x.account.Description`}},
		pkg:   lifecycle, tests: []string{"TestRenew"},
	},
	{
		name: "a journal that is opened while somebody gives up is neither there nor an error",
		edits: []edit{{
			"internal/journal", "Dir.Open", `fault.Is($err, fault.Locked) || $err != nil && $ctx.Err() != nil`,
			`fault.Is($err, fault.Locked) || $ctx.Err() != nil`,
		}},
		pkg: "internal/journal", tests: []string{"TestOpenGivenUpWithTheLock"},
	},
	{
		name:  "an account with a copied mark is taken for the run's",
		edits: []edit{{lifecycle, "target.judge", `$m && !$o`, `$m && ($o || !$o)`}},
		pkg:   lifecycle, tests: []string{"TestAccountOfTheSameNameIsNotTouched"},
	},
	{
		name:  "what begins with a mark is one",
		edits: []edit{{"internal/grants", "ParseMark", `$err != io.EOF`, `$err != io.EOF && false`}},
		pkg:   lifecycle, tests: []string{"TestAccountThatExistsIsNotAdopted"},
	},
	{
		name:  "an account that exists is adopted without a mark",
		edits: []edit{{lifecycle, "upRun.createAccount", `$got.Description == $mark`, `$got.Description != "" || $mark == ""`}},
		pkg:   lifecycle, tests: []string{"TestAccountThatExistsIsNotAdopted"},
	},
	{
		name:  "nothing is looked at again at the end",
		edits: []edit{{lifecycle, "together.verify", `$err == nil && $what != ""`, `$err == nil && $what != "" && false`}},
		pkg:   lifecycle, tests: []string{"TestDownLooksAgain"},
	},
	{
		name:  "a policy is not read back",
		edits: []edit{{lifecycle, "Engine.readBack", `survived($doc, $edit)`, `survived(nil, grants.Edit{Resource: $edit.Resource, Bindings: $doc.Bindings()[:0]})`}},
		pkg:   lifecycle, tests: []string{"TestUpReadsBack"},
	},
	{
		name:  "a key's certificate begins with the run, by this machine's clock",
		edits: []edit{{lifecycle, "upRun.deliverKey", `$u.plan.Began.Add(-clockSkew)`, `$u.plan.Began`}},
		pkg:   lifecycle, tests: []string{"TestCertificateOfAKey"},
	},
	{
		name:  "any key of the account is taken for the one whose answer was lost",
		edits: []edit{{lifecycle, "upRun.onlyKey", `$err != nil || len($keys) != 1`, `$err != nil || len($keys) == 0`}},
		pkg:   lifecycle, tests: []string{"TestKeyAmongOthers"},
	},
	{
		name: "a delivery is made before the journal knows of it",
		edits: []edit{{
			lifecycle, "upRun.deliver",
			`$err := $u.journal.Append(journal.DeliverIntended{Kind: $d.Kind, Paths: []string{$d.Dir}})`,
			`$err := error(nil)`,
		}},
		pkg: lifecycle, tests: []string{"TestDeliveryIsAnnounced"},
	},
	{
		name: "an account is waited for as long as the journal's clock was wrong",
		edits: []edit{{
			lifecycle, "downRun.liveAccount", `min($t.opened.Add(visibleWithin).Sub($d.Cloud.Clock()), visibleWithin)`,
			`$t.opened.Add(visibleWithin).Sub($d.Cloud.Clock())`,
		}},
		pkg: lifecycle, tests: []string{"TestClockSetAfterUp"},
	},
	{
		name:  "the check at the end takes another account with the email for the run's",
		edits: []edit{{lifecycle, "together.checkAccount", `$d.Cloud.Account($ctx, $t.project, $d.account.UniqueID)`, `$d.Cloud.Account($ctx, $t.project, $t.email)`}},
		pkg:   lifecycle, tests: []string{"TestEmailThatIsTakenAtOnce"},
	},
	{
		name:  "each check at the end is kept as passed",
		edits: []edit{{lifecycle, "downRun.verified", `OK: $gone`, `OK: $gone || !$gone`}},
		pkg:   lifecycle, tests: []string{"TestFailedCheckIsRecorded"},
	},
	{
		name: "one server that does not show an account is believed",
		edits: []edit{{lifecycle, "downRun.lookAgain", `return $looks[$i], $err`,
			`if $i > 0 { continue }; return $looks[$i], $err`}},
		pkg: lifecycle, tests: []string{"TestOneServerShowsTheAccount"},
	},
	{
		name:  "keys that are left are not named",
		edits: []edit{{lifecycle, "downRun.leftOfAccount", `range $keys`, `range $keys[:0]`}},
		pkg:   lifecycle, tests: []string{"TestKeysThatAreLeftAreNamed"},
	},
	{
		name: "a journal that is another one now is followed",
		edits: []edit{{
			lifecycle, "Engine.DownFrom", `!reflect.DeepEqual($j.Run().Opened, $known.Opened)`,
			`false && !reflect.DeepEqual($j.Run().Opened, $known.Opened)`,
		}},
		pkg: lifecycle, tests: []string{"TestDownFromWhatIsKnown"},
	},
	{
		name:  "that a binding was read back is not kept",
		edits: []edit{{lifecycle, "Engine.readBack", `return $j.Append`, `return nil; return $j.Append`}},
		pkg:   lifecycle, tests: []string{"TestReadBackIsRecorded"},
	},
	{
		name:  "one answer is enough to prove access",
		edits: []edit{{lifecycle, "upRun.askOnce", `range $answers { $g.Go`, `range $answers[:1] { $g.Go`}},
		pkg:   lifecycle, tests: []string{"TestSomeServersKnowLater"},
	},
	{
		name:  "of many listed permissions some are not asked about",
		edits: []edit{{lifecycle, "upRun.prove", `$why == "" && !$listed`, `$why == "" && (!$listed || $listed)`}},
		pkg:   lifecycle, tests: []string{"TestEachListedPermissionIsProved"},
	},
	{
		name:  "a renewal delivers a key that does not work yet",
		edits: []edit{{lifecycle, "renewRun.proveKey", `$x.repeat($ctx, "prove key", $x.newKey, forKey, visibleWithin,`, `$x.repeat($ctx, "prove key", $x.newKey, forKey, 0,`}},
		pkg:   lifecycle, tests: []string{"TestRenewedKeyWorksAtOnce"},
	},
	{
		name:  "the mark of a renewal is taken back while something lasts longer",
		edits: []edit{{lifecycle, "renewRun.undo", `if len($l) == 0 { if $err := $x.markBack($ctx, $was)`, `if len($l) >= 0 { if $err := $x.markBack($ctx, $was)`}},
		pkg:   lifecycle, tests: []string{"TestMarkOfARenewalThatCannotBeUndone"},
	},
	{
		name: "a sweep takes what a live run's deleted account left",
		edits: []edit{{
			lifecycle, "sweeper.tombstones", `$run.Live() && !$s.isOver($run.Expires())`, `$run.Live() && false && !$s.isOver($run.Expires())`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepLeavesTheTombstoneOfALiveRun"},
	},
	{
		name:  "places that are named stand in for a search that failed",
		edits: []edit{{"internal/search", "Searcher.Find", `len($s.more) > 0 && !passing($f.Missing)`, `len($s.more) > 0`}},
		pkg:   lifecycle, tests: []string{"TestSweepWhileTheSearchIsOut"},
	},
	{
		name: "a policy is waited for, however long Google asks to",
		edits: []edit{{
			lifecycle, "Engine.edit", `$contest.lasted($e.Now(), $t.moved) < contestWithin && retryAfter($err) <= gcp.LongestWait`,
			`$contest.lasted($e.Now(), $t.moved) < contestWithin`,
		}},
		pkg: lifecycle, tests: []string{"TestPolicyThatIsThrottledForADay"},
	},
	{
		name:  "keys that the journal alone knows of are not deleted",
		edits: []edit{{lifecycle, "target.add", `union($t.keys, $o.keys)`, `union($t.keys, $o.keys[:0])`}},
		pkg:   lifecycle, tests: []string{"TestKeysOfTheJournalAlone"},
	},
	{
		name:  "a renewal forgets the CI job",
		edits: []edit{{lifecycle, "renewRun.mark", `Job: $o.Job`, `Job: $o.Job[:0]`}},
		pkg:   lifecycle, tests: []string{"TestRenewKeepsTheJob"},
	},
	{
		name:  "a renewal leaves the key of one that was cut off",
		edits: []edit{{lifecycle, "renewRun.deleteOldKeys", `if !$all { keys, $err := $x.Cloud.Keys`, `if $all && !$all { keys, $err := $x.Cloud.Keys`}},
		pkg:   lifecycle, tests: []string{"TestRenewAfterOneThatWasCutOff"},
	},
	{
		name:  "what the index says of a journal holds for good",
		edits: []edit{{"internal/journal", "selection.add", `$e.Stamp == $l.stamp`, `$e.Stamp == $e.Stamp`}},
		pkg:   "internal/journal", tests: []string{"TestChangedJournalIsReadAgain"},
	},
	{
		name:  "a run is forgotten although something of it is left here",
		edits: []edit{{lifecycle, "Engine.Forget", `if len($d.left) == 0 { $d.record`, `if len($d.left) >= 0 { $d.record`}},
		pkg:   lifecycle, tests: []string{"TestForgetAsksNoCloud"},
	},
	{
		name:  "forgotten runs count as up",
		edits: []edit{{"internal/journal", "State.Live", `$s != Ended && $s != GivenUp`, `$s != Ended`}},
		pkg:   lifecycle, tests: []string{"TestForgetAsksNoCloud"},
	},
	{
		name:  "a renewal moves one binding of each resource",
		edits: []edit{{lifecycle, "move.apply", `range $m.bindings`, `range $m.bindings[:1]`}},
		pkg:   lifecycle, tests: []string{"TestRenewMovesAllAfterTheMark"},
	},
	{
		name:  "a renewal takes another form of a binding for none",
		edits: []edit{{lifecycle, "renewRun.moveBack", `$m.restore($doc, $to)`, `$m.apply($doc, $to)`}},
		pkg:   lifecycle, tests: []string{"TestRenewThatLosesConditions"},
	},
	{
		name:  "a renewal leaves what Google keeps without its end",
		edits: []edit{{lifecycle, "renewRun.takeAway", `$changed = $doc.Remove($b) || $changed`, `$changed = $doc.Has($b) && $changed`}},
		pkg:   lifecycle, tests: []string{"TestRenewThatLosesConditions"},
	},
	{
		name: "a token is asked for as long as Google gives one, whenever the run ends",
		edits: []edit{{
			lifecycle, "upRun.deliverToken",
			`lifetime := min($u.plan.Expires.Sub($u.Cloud.Clock()), lifetime)`,
			`lifetime := max(lifetime, grants.TokenLifetime)`,
		}},
		pkg: lifecycle, tests: []string{"TestTokenEndsWithAShortRun"},
	},
	{
		name: "a command gets all of the operator's environment",
		edits: []edit{{
			"internal/credentials", "Passed.Of",
			`return !$p.All && !slices.Contains($p.Names, $n) && !lists(allowed, $n) && !($f && lists(folders, $n))`,
			`return $n == "" && $f`,
		}},
		pkg: "internal/credentials", tests: []string{"TestPassed"},
	},
	{
		name: "what taskiam relies on may be writable in a sandbox",
		edits: []edit{{
			"internal/isolate", "ownPath.keepsOff",
			`if paths.Within($o.path, $r.Path) || paths.Within($r.Path, $o.path) {`,
			`if $o.path == "" && $r.Path == "" {`,
		}},
		pkg: "internal/isolate", tests: []string{"TestCheck"},
	},
	{
		name:  "bubblewrap has the command's environment, outside of the sandbox",
		edits: []edit{{"internal/isolate", "Spec.bubblewrap", `$c.Env = []string{}`, `$c.Env = s.Environ`}},
		pkg:   "internal/isolate", tests: []string{"TestBubblewrapHasNoVariables"},
	},
	{
		name: "a manifest in the work tree may be written to",
		edits: []edit{{
			"internal/isolate", "Spec.mounts", `if $s.writable($p) != "" {`, `if $p == "" {`,
		}},
		pkg: "internal/isolate", tests: []string{"TestFixed"},
	},
	{
		name: "the folder of a manifest may be put elsewhere",
		edits: []edit{{
			"internal/isolate", "Spec.above", `return $out`, `return $out[:0]`,
		}},
		pkg: "internal/isolate", tests: []string{"TestFixed"},
	},
	{
		name: "what is kept of roles is believed without its seal",
		edits: []edit{{
			"internal/app", "cachedRoles.read",
			`!hmac.Equal($seal, $c.seal($answer)) || `,
			`false && !hmac.Equal($seal, $c.seal($answer)) || `,
		}},
		pkg: "internal/app", tests: []string{"TestRolesAreKept"},
	},
	{
		name: "what others wrote can begin a line of its own",
		edits: []edit{{
			"internal/view", "inlined.Format",
			`visible.Line(redact(fmt.Sprintf(fmt.FormatString($f, $verb), $v.any)))`,
			`visible.Text(redact(fmt.Sprintf(fmt.FormatString($f, $verb), $v.any)))`,
		}},
		pkg: "internal/view", tests: []string{"TestOthersTextInEveryField", "TestOthersTextInMessages"},
	},
	{
		name: "a key that stands among other text is printed",
		edits: []edit{{
			"internal/view", "Writer.cleanKey",
			`keyPiece().ReplaceAllLiteral(withoutTokens(body), []byte(redactedText))`, `withoutTokens(body)`,
		}},
		pkg: "internal/view", tests: []string{"TestWriterRedacts"},
	},
	{
		name: "git may get a token on its command line",
		edits: []edit{{
			"internal/app", "Version.check", `!slices.Contains(sshSchemes, strings.ToLower(scheme))`, `slices.Contains(sshSchemes, "x"+scheme)`,
		}},
		pkg: "internal/app", tests: []string{"TestFetch"},
	},
	{
		name: "root's number is taken for no user",
		edits: []edit{{
			"internal/cli", "parseUser",
			`err != nil || uid <= 0 || uid >= 1<<31`, `err != nil || uid < 0 || uid >= 1<<31`,
		}},
		pkg: "internal/cli", tests: []string{"TestParseRun"},
	},
	{
		name:  "a column of a table can hold anything",
		edits: []edit{{"internal/view", "Report.Row", `visible.Line(redact($c))`, `$c`}},
		pkg:   "internal/view", tests: []string{"TestOthersTextInEveryField"},
	},
	{
		name:  "what is for programs is printed whatever it holds",
		edits: []edit{{"internal/view", "programs.Write", `at >= 0`, `at > len(b)`}},
		pkg:   "internal/view", tests: []string{"TestForPrograms"},
	},
	{
		name:  "a disabled role is taken for one that grants",
		edits: []edit{{"internal/lifecycle", "surveyor.role", `r.Stage == disabled`, `r.Stage == disabled && false`}},
		pkg:   "internal/lifecycle", tests: []string{"TestNamedRolesThatGrantNothing"},
	},
	{
		name:  "a condition that can never be true is accepted",
		edits: []edit{{"internal/review", "evaluation.holds", `return can&canHold != 0 ||`, `return can != 0 ||`}},
		pkg:   "internal/review", tests: []string{"TestConditionsThatNeverHold"},
	},
	{
		name:  "a condition that is true of something is refused",
		edits: []edit{{"internal/review", "thingsOf", `if o.SuppliesName && inside(o, t) {`, `if false {`}},
		pkg:   "internal/review", tests: []string{"TestConditionsThatMayHold", "TestConditionsThatNeverHold"},
	},
	{
		name:  "a condition may have a comment",
		edits: []edit{{"internal/review", "checkCondition", `at >= 0`, `at < -1`}},
		pkg:   "internal/review", tests: []string{"TestCheckConditionRefuses"},
	},
	{
		name:  "a condition may have characters that cannot be seen",
		edits: []edit{{"internal/review", "checker.unseen", `if at < 0 {`, `if at < len(rest) {`}},
		pkg:   "internal/review", tests: []string{"TestCheckConditionRefuses"},
	},
	{
		name:  "a manifest may have characters that cannot be seen",
		edits: []edit{{"internal/manifest", "reader.seen", `if at < 0 {`, `if at < len(s)+1 {`}},
		pkg:   "internal/manifest", tests: []string{"TestWhatCannotBeSeen"},
	},
	{
		name: "actAs on a project is no more than a warning",
		edits: []edit{{
			"internal/review", "grantReview.runsCodeAs", `case acts && wide:`, `case acts && wide && false:`,
		}},
		pkg: "internal/review", tests: []string{"TestFindings"},
	},
	{
		name: "the old name of actAs alone accepts it beside what runs code",
		edits: []edit{{
			"internal/review", "grantReview.runsCodeAs", `names := []string{RunsCodeAs}`,
			`names := []string{RunsCodeAs, actsAs}`,
		}},
		pkg: "internal/review", tests: []string{"TestFindings"},
	},
	{
		name: "a permission that no rule fits is taken for harmless",
		edits: []edit{{
			"internal/review", "ClassOf", `return unreviewed, unreviewed.Does`, `return Class{Group: Writes}, ""`,
		}},
		pkg: "internal/review", tests: []string{"TestFindings"},
	},
	{
		name:  "a service's own permissions are of use on all that it has",
		edits: []edit{{"internal/review", "elsewhere", `return len(types) > 0 &&`, `return false && len(types) > 0 &&`}},
		pkg:   "internal/tools/findings", tests: []string{"TestWhatAResourceCannotDo"},
	},
	{
		name: "a user who has processes gets a run's access",
		edits: []edit{{
			"internal/supervise", "Vacant", `if $err != nil || len($pids) == 0 {`, `if $err != nil || len($pids) >= 0 {`,
		}},
		pkg: "internal/supervise", tests: []string{"TestVacant"},
	},
	{
		name: "the user of a run does not end with it",
		edits: []edit{{
			lifecycle, "downRun.clearHere", `if $t.user.UID != 0 &&`, `if $t.user.UID < 0 &&`,
		}},
		pkg: lifecycle, tests: []string{"TestUserOfARunEndsWithIt"},
	},
	{
		name: "places of logins are shown in a sandbox",
		edits: []edit{{
			"internal/audit", "Search.places", `return $out`, `return $out[:0]`,
		}},
		pkg: "internal/audit", tests: []string{"TestPlaces"},
	},
	{
		name: "a login in the work tree is not recognised",
		edits: []edit{{
			"internal/audit", "walk", `} else if $what := knownEntry($path, $e); $what != "" {`,
			`} else if $what := knownEntry($path, $e); $what == "nothing" {`,
		}},
		pkg: "internal/audit", tests: []string{"TestLoginsInATree"},
	},
	{
		name: "nobody looks for logins in what a sandbox shows",
		edits: []edit{{
			"internal/isolate", "Spec.Check", `if limits.Look == nil {`, `if limits.Look != nil || true {`,
		}},
		pkg: "internal/isolate", tests: []string{"TestCheck"},
	},
	{
		name:  "another folder is taken for the delivery",
		edits: []edit{{"internal/credentials", "Folder.check", `!sameFolder($f.id, $id)`, `$f.id == $id+"x"`}},
		pkg:   "internal/credentials", tests: []string{"TestDeliveryThatWasSwapped"},
	},
	{
		name:  "links above a delivery are followed",
		edits: []edit{{"internal/credentials", "openAt", `unix.O_NOFOLLOW|`, ``}},
		pkg:   "internal/credentials", tests: []string{"TestDeliveryThatWasSwapped", "TestDeliverFollowsNoLink"},
	},
	{
		name: "the label of a CI job is only what people can choose",
		edits: []edit{{
			"internal/ci", "JobOf",
			`$j.Label = label[:min(len(label), maxLabel-len(hash))] + hash`,
			`$j.Label = label[:min(len(label), maxLabel)]; _ = hash`,
		}},
		pkg: "internal/ci", tests: []string{"TestLabelsDiffer"},
	},
	{
		name:  "a matrix's jobs are one job",
		edits: []edit{{"internal/ci", "profile.hash", `append(slices.Clone($p.identity), envIndex)`, `$p.identity`}},
		pkg:   "internal/ci", tests: []string{"TestLabelsDiffer"},
	},
	{
		name: "objects of a manifest's repository are not checked",
		edits: []edit{{
			"internal/app", "Version.settings",
			`text := "[fetch]\n\tfsckObjects = true\n[gc]\n\tauto = 0\n[http]\n\tfollowRedirects = false\n"`,
			`text := "[gc]\n\tauto = 0\n[http]\n\tfollowRedirects = false\n"`,
		}},
		pkg: "internal/app", tests: []string{"TestFetch"},
	},
	{
		name: "git gets the job's environment",
		edits: []edit{{
			"internal/app", "App.gitEnviron", `return environ`, `return append(environ, a.Environ()...)`,
		}},
		pkg: "internal/app", tests: []string{"TestFetchLogin"},
	},
	{
		name:  "a journal that says that its run is down is believed",
		edits: []edit{{lifecycle, "Engine.takeDown", `!there`, `there || true`}},
		pkg:   lifecycle, tests: []string{"TestDownOfAClosedRunAsksTheCloud"},
	},
	{
		name: "what a run's command wrote to the journal is taken for what was done",
		edits: []edit{{
			lifecycle, "Engine.DownFrom", `return $d.carryOut(ctx)`,
			`if j == nil || j.Run().State() == journal.Ended {
				return &Teardown{Run: known, Already: true}, err
			}
			return $d.carryOut(ctx)`,
		}},
		pkg: lifecycle, tests: []string{"TestDownFromWhatIsKnown"},
	},
	{
		name:  "any seal of a journal is good",
		edits: []edit{{"internal/journal", "sealing.verify", `hmac.Equal([]byte(g.mac), `, `hmac.Equal([]byte(mac(key, r.ID(), g.n, g.at, g.digests)), `}},
		pkg:   "internal/journal", tests: []string{"TestSealed"},
	},
	{
		name: "the times of a journal are not sealed",
		edits: []edit{
			{"internal/journal", "digestOf", `at.Format(time.RFC3339Nano)+"\n"+`, `"\n"+`},
			{"internal/journal", "mac", `n, at.Format(time.RFC3339Nano)`, `n, ""`},
		},
		pkg: "internal/journal", tests: []string{"TestSealed"},
	},
	{
		name:  "records without a seal are verified",
		edits: []edit{{"internal/journal", "sealing.verify", `&& len(r.seals.open) == 0`, ``}},
		pkg:   "internal/journal", tests: []string{"TestSealed"},
	},
	{
		name: "each signal of an event counts",
		edits: []edit{{
			"internal/cli", "interrupts.take",
			`$again := $i.count > 0 && $now.Sub($i.event) < oneEvent`, `$again := $i.count > 0 && $now.Before($i.event)`,
		}},
		pkg: "internal/cli", tests: []string{"TestSignalsOfOneEventCountOnce", "TestSignalsOfOneEventReachTheChildOnce"},
	},
	{
		name:  "a filter is made for machines whose calls it does not know",
		edits: []edit{{"internal/isolate", "assemble", `$goarch != "arm64" {`, `$goarch == "" {`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets other families of sockets through",
		edits: []edit{{"internal/isolate", "families", `unix.AF_NETLINK`, `unix.AF_NETLINK, unix.AF_VSOCK`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "a manifest with a second name is shown in a sandbox",
		edits: []edit{{"internal/app", "limits.fix", `$s.Nlink > 1`, `$s.Nlink > 1000`}},
		pkg:   "internal/app", tests: []string{"TestManifestWithASecondNameIsRefused"},
	},
	{
		name:  "a FIFO beside a manifest is waited for",
		edits: []edit{{"internal/app", "isManifest", `os.O_RDONLY|syscall.O_NONBLOCK`, `os.O_RDONLY`}},
		pkg:   "internal/app", tests: []string{"TestManifestsBesideWaitForNothing"},
	},
	{
		name:  "the delivery of a run with a damaged journal is shown in a sandbox",
		edits: []edit{{"internal/app", "limits.runs", `deliveries[o.DeliveryDir], manifests[o.ManifestPath] = o.Run, true`, `_ = o`}},
		pkg:   "internal/app", tests: []string{"TestLimitsOfADamagedJournal"},
	},
	{
		name:  "a delivery may lie in the work tree",
		edits: []edit{{"internal/supervise", "Sandbox.Enter", `err := $s.spec.CheckDelivery(); err != nil`, `err := $s.spec.CheckDelivery(); err != nil && false`}},
		pkg:   "internal/supervise", tests: []string{"TestEnterRefusesADeliveryInTheTree"},
	},
	{
		name: "a user who got a process while the run came up gets the delivery",
		edits: []edit{
			{"internal/app", "deliverer.Deliver", `if $c.vacant != nil {`, `if $c.vacant != nil && false {`},
		},
		pkg: "internal/app", tests: []string{"TestDeliverAsksAgainWhetherTheUserIsVacant"},
	},
	{
		name:  "the folder of a delivery stays open",
		edits: []edit{{"internal/app", "deliverer.Remove", `err = $h.Close()`, `err = nil`}},
		pkg:   "internal/app", tests: []string{"TestRemovedDeliveryIsHeldNoMore"},
	},
	{
		name:  "a program that is not installed may be put into a folder of PATH",
		edits: []edit{{"internal/app", "App.relyOnPrograms", `!$found && name == buildkiteAgent`, `!$found && name != ""`}},
		pkg:   "internal/app", tests: []string{"TestReliesOnProgramsThatAreNotInstalled"},
	},
	{
		name:  "all that git prints is kept",
		edits: []edit{{"internal/app", "bounded.Write", `$p[:min(len($p), $b.size-len($b.kept))]`, `$p`}},
		pkg:   "internal/app", tests: []string{"TestGitPrintsTooMuch"},
	},
	{
		name: "what a command left is searched for while it still has access",
		edits: []edit{{
			"internal/cli", "runRun", `$err := e.downAfter(ctx, engine, result.Run, o.quiet)
			c.sayAfter(ctx, code)`,
			`c.sayAfter(ctx, code)
			$err := e.downAfter(ctx, engine, result.Run, o.quiet)`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestIsolatedIsSearchedWhenItsAccessIsGone"},
	},
	{
		name:  "the filter lets through what the kernel tells of devices",
		edits: []edit{{"internal/isolate", "protocols", `unix.NETLINK_SOCK_DIAG`, `unix.NETLINK_SOCK_DIAG, unix.NETLINK_KOBJECT_UEVENT`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets set-uid modes through",
		edits: []edit{{"internal/isolate", "always", `"chmod", "fchmod",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name: "the filter lets set-uid modes of new files through",
		edits: []edit{{
			"internal/isolate", "always", `{argument: 2, anyBit: makesFile}, {argument: 3, anyBit: setUID}`,
			`{argument: 2, anyBit: makesFile}, {argument: 4, anyBit: setUID}`,
		}},
		pkg: "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets calls through that are in a gap of its table",
		edits: []edit{{"internal/isolate", "gaps", `$first <= last`, `$first <= last && last == 1<<32-1`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets clone3 through",
		edits: []edit{{"internal/isolate", "always", `"clone3",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets through what is the kernel's own",
		edits: []edit{{"internal/isolate", "always", `"bpf", "perf_event_open", "userfaultfd",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name: "other processes read the memory of a command of taskiam's",
		edits: []edit{{
			"internal/cli", "Main", `$err := supervise.Protect()`, `$err := func() error { _ = supervise.Protect; return nil }()`,
		}},
		pkg: "internal/cli", tests: []string{"TestEveryCommandIsProtected"},
	},
	{
		name: "a command can debug the process that holds the socket to the outside",
		edits: []edit{
			{"internal/isolate", "Inside", `$err := hideFromCommand()`, `$err := error(nil)`},
			{"internal/isolate", "startConfined", `$err := confine()`, `$err := error(nil)`}, // Landlock forbids it as well
			{"internal/cli", "Main", `$err := supervise.Protect()`, `$err := func() error { _ = supervise.Protect; return nil }()`},
		},
		pkg: "cmd/taskiam", tests: []string{"TestIsolatedAllows"},
	},
	{
		name:  "root mounts what it likes in namespaces of its own",
		edits: []edit{{"internal/isolate", "startConfined", `$err := confine()`, `$err := error(nil)`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedAllows"},
	},
	{
		name:  "abstract sockets of processes outside are in reach",
		edits: []edit{{"internal/isolate", "startConfined", `$err := confine()`, `$err := error(nil)`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedSideBySide"},
	},
	{
		name:  "the terminal in a sandbox keeps its size",
		edits: []edit{{"internal/supervise", "terminal.resize", `_ = pty.Setsize($t.master, $size)`, `_ = $size`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedTerminal"},
	},
	{
		name:  "Ctrl-C does not reach a command in a sandbox",
		edits: []edit{{"internal/isolate", "warden.openTerminal", `Foreground: true`, `Foreground: false`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedTerminal"},
	},
	{
		name:  "Ctrl-Z stops the command in a sandbox and not taskiam",
		edits: []edit{{"internal/supervise", "terminal.follow", `_ = syscall.Kill(0, syscall.SIGTSTP)`, ``}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedJobControl"},
	},
	{
		name:  "one login that is meant to be shown opens the way to all",
		edits: []edit{{"internal/audit", "Search.In", `paths.Within($m, $path) || paths.Within($m, $root)`, `$m != "" && ($path != "" || $root == "")`}},
		pkg:   "internal/audit", tests: []string{"TestLoginsInATree"},
	},
	{
		name:  "the filter lets io_uring through",
		edits: []edit{{"internal/isolate", "always", `"io_uring_setup",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets openat2 through",
		edits: []edit{{"internal/isolate", "always", `"openat2",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "debugging needs no flag",
		edits: []edit{{"internal/isolate", "Spec.refusals", `!$s.AllowPtrace`, `false`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "what only root can read of /proc is shown to root",
		edits: []edit{{"internal/isolate", "secrets", `info.Mode().Perm()&0o004 == 0 ||`, `info == nil ||`}},
		pkg:   "internal/isolate", tests: []string{"TestSystemIsWhatIsThere"},
	},
	{
		name:  "a command that has left with Ctrl-C in its hands cannot be ended",
		edits: []edit{{"internal/supervise", "endKeys.Write", `now.Sub($k.before[0]) <= time.Second`, `false`}},
		pkg:   "internal/supervise", tests: []string{"TestEndKeys"},
	},
	{
		name:  "a terminal that answers a command keeps its person from ending that",
		edits: []edit{{"internal/supervise", "endKeys.Write", `<- bytes.Clone(b): default:`, `<- bytes.Clone(b):`}},
		pkg:   "internal/supervise", tests: []string{"TestEndKeys"},
	},
	{
		name:  "what the operator's terminal answers to a command is typed for the shell",
		edits: []edit{{"internal/supervise", "streams.dropAnswers", `discardInput(screen)`, ``}},
		pkg:   "internal/supervise", tests: []string{"TestDropAnswers"},
	},
	{
		name:  "a command that runs as another user has the operator's terminal",
		edits: []edit{{"internal/supervise", "streams.asAnother", `$s.own == ""`, `true`}},
		pkg:   "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name:  "the end of a run waits for the files that its command has sent to be closed",
		edits: []edit{{"internal/metadata", "Server.Serve", `time.NewTimer(2 * graceTimeout)`, `time.NewTimer(time.Hour)`}},
		pkg:   "internal/metadata", tests: []string{"TestServeEndsWhateverClientsSend"},
	},
	{
		name:  "a run's socket takes open files",
		edits: []edit{{"internal/supervise", "listenUnix", `Control: refuseFiles`, ``}},
		pkg:   "internal/supervise", tests: []string{"TestSocketTakesNoFiles"},
	},
	{
		name:  "a command can hide what taskiam says after its end",
		edits: []edit{{"internal/supervise", "terminal.settle", `$t.steered.Load()`, `false`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedTerminal"},
	},
	{
		name:  "what comes over a sandbox's connection beside a terminal stays open",
		edits: []edit{{"internal/isolate", "received", `_ = unix.Close(fd)`, `_ = fd`}},
		pkg:   "internal/isolate", tests: []string{"TestWhatASandboxSays"},
	},
	{
		name:  "somebody waits for a sandbox that was discarded",
		edits: []edit{{"internal/isolate", "Box.Close", `close($b.known)`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestBoxThatIsDiscarded"},
	},
	{
		name:  "the configuration may be writable",
		edits: []edit{{"internal/app", "App.limits", `file != ""`, `file == ""`}},
		pkg:   "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name: "the configuration counts for more than the manifest",
		edits: []edit{{
			"internal/manifest", "reader.settle", `r.limits.Given.Over(declared).Over(r.limits.Usual)`,
			`r.limits.Given.Over(r.limits.Usual).Over(declared)`,
		}},
		pkg: "internal/manifest", tests: []string{"TestWhatIsSetFirstCounts"},
	},
	{
		name:  "places where PATH looks for programs may be writable",
		edits: []edit{{"internal/app", "App.relyOnPrograms", `range programs`, `range programs[:0]`}},
		pkg:   "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name:  "run --isolate does not say that the network is open",
		edits: []edit{{"internal/cli", "commandRun.sayWhere", `$c.isolate.how == isolateNet`, `false`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedNamesTheFlag"},
	},
	{
		name:  "seals of a journal have no order",
		edits: []edit{{"internal/journal", "sealing.verify", `&& !seen[$g.n]`, ``}},
		pkg:   "internal/journal", tests: []string{"TestSealed"},
	},
	{
		name: "letters of another alphabet pose as ASCII",
		edits: []edit{{
			"internal/visible", "Line", `Rune(r) && !(inName && poses(r))`, `Rune(r)`,
		}},
		pkg: "internal/visible", tests: []string{"TestText"},
	},
	{
		name: "run does not hold the folder of its delivery open",
		edits: []edit{{
			"internal/app", "deliverer.Deliver", `$c.held[$d.Run] = folder`, `_ = folder`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name: "down --ci takes every run with the job's label",
		edits: []edit{{
			"internal/cli", "Env.choose", `if len(up) > 1 {`, `if len(up) > 1000 {`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestCITwoRunsOfAJob"},
	},
	{
		name: "down --ci takes whatever run a step has named",
		edits: []edit{{
			"internal/app", "Job.Owns", `$s.Job == $j.Label`, `$s.Job != ""`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestCIShell"},
	},
	{
		name: "what competes with a run is looked for in what this process has left of its environment",
		edits: []edit{{
			"internal/app", "Job.exportVars",
			`$j.app.Unset(o, string(ci.GitHub), $j.app.Started)`, `$j.app.Unset(o, string(ci.GitHub), $j.app.Environ())`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestCIGitHubTwice"},
	},
	{
		name: "down --ci leaves the environment of the run that it takes down, and not of the job's other runs",
		edits: []edit{{
			"internal/cli", "runDownCI", `job.Leave(all)`,
			`job.Leave(slices.DeleteFunc(slices.Clone(all), func(r *journal.Run) bool { return r.ID() != o.run }))`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestCIGitHubTwice"},
	},
	{
		name: "a job is told of its run when the run is up",
		edits: []edit{{
			"internal/app", "announcing.Create", `a.job.announce(open, a.dotenv)`, `error(nil)`,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestCIGitHubUpKilled"},
	},
	{
		name: "git may use the user's and the machine's configuration for a manifest",
		edits: []edit{{
			"internal/app", "App.gitEnviron", `config = os.DevNull`, `config = filepath.Join(a.Getenv("HOME"), ".gitconfig")`,
		}},
		pkg: "internal/app", tests: []string{"TestFetch", "TestFetchLogin"},
	},
	{
		name:  "the thread that ends a user's processes may signal others",
		edits: []edit{{"internal/supervise", "onlyMaySignal", `uint32($real) != stranger || `, `false && uint32($real) != stranger || `}},
		pkg:   "internal/supervise", tests: []string{"TestOnlyMaySignal"},
	},
	{
		name:  "nobody is told which flag allows namespaces",
		edits: []edit{{"internal/supervise", "Child.WantedUserns", `return $c.terminal.overheard.has()`, `return ""`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedNamesTheFlag"},
	},
	{
		name: "a list of permissions may hold those of what is above projects",
		edits: []edit{{
			"internal/manifest", "reader.permissions",
			`case grants.AboveProjects($w.text) != "":`, `case grants.AboveProjects($w.text) == "never":`,
		}},
		pkg: "internal/manifest", tests: []string{"TestRefusals"},
	},
	{
		name:  "what a service changes of neighbours is not looked at",
		edits: []edit{{lifecycle, "attempt.putBack", `if differs.IsZero()`, `if true || differs.IsZero()`}},
		pkg:   lifecycle, tests: []string{"TestNeighboursConditionsDropped"},
	},
	{
		name:  "a policy is not read again when a member was deleted since",
		edits: []edit{{lifecycle, "Engine.edit", `!reread && $t.outdated($err)`, `!reread && $t == nil && $err == nil`}},
		pkg:   lifecycle, tests: []string{"TestNeighbourDeletedBeforeOurWrite", "TestPutBackBesideADeletedAccount"},
	},
	{
		name: "of a policy that is read back only the run's own bindings are looked at",
		edits: []edit{{
			lifecycle, "Engine.lookBack", `$ok && $last.(*attempt).stored == $doc.Etag()`, `$ok && $last == nil`,
		}},
		pkg: lifecycle, tests: []string{"TestNeighboursConditionsDropped"},
	},
	{
		name:  "what was stored although its answer was lost is not looked at",
		edits: []edit{{lifecycle, "attempt.put", `if fault.Is(err, fault.Unavailable)`, `if false`}},
		pkg:   lifecycle, tests: []string{"TestNeighboursConditionsDropped"},
	},
	{
		name: "a condition that was dropped in a write whose answer was lost stays dropped",
		edits: []edit{{
			lifecycle, "upRun.binding", `!slices.Contains($edit.Bindings, $bare)`,
			`!slices.Contains($edit.Bindings, $bare) && false`,
		}},
		pkg: lifecycle, tests: []string{"TestDroppedConditionOfALostAnswer"},
	},
	{
		name:  "what a neighbour wrote since is taken for the service's doing",
		edits: []edit{{policies, "Difference.In", `if has(b) && (!$later || `, `if has(b) && (true || `}},
		pkg:   policies, tests: []string{"TestDifferenceInALaterPolicy"},
	},
	{
		name: "what a lost answer took away is said to have been gone already",
		edits: []edit{{
			lifecycle, "goneAlready", `fault.Is($e, fault.NotFound) && fault.Refused($e)`, `fault.Is($e, fault.NotFound)`,
		}},
		pkg: lifecycle, tests: []string{"TestWhatWasGoneAlready"},
	},
	{
		name: "a binding that was not there is said to be removed",
		edits: []edit{{
			lifecycle, "downRun.unbound", `journal.Unbound{Resource: $f, Binding: $b.Binding, Missing: !$found}`,
			`journal.Unbound{Resource: $f, Binding: $b.Binding, Missing: false && !$found}`,
		}},
		pkg: lifecycle, tests: []string{"TestWhatWasGoneAlready"},
	},
	{
		name: "a refused key that is still there is said to be deleted",
		edits: []edit{{
			lifecycle, "Engine.deleteKey", `if fault.Is($l, fault.NotFound) ||`, `if true || fault.Is($l, fault.NotFound) ||`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepOfManyRunsTellsWhoseAFailureIs"},
	},
	{
		name: "the delivery is journalled as removed before it is",
		edits: []edit{{
			lifecycle, "downRun.clearHere", `$found, $err := $d.removeDelivery($ctx, $t)`,
			`$d.record(journal.Removed{Path: $t.dir}); $found, $err := $d.removeDelivery($ctx, $t)`,
		}},
		pkg: lifecycle, tests: []string{"TestTheDeliveryIsRemovedBeforeTheJournalSaysSo"},
	},
	{
		name:  "a teardown waits for the delivery before it cuts the access",
		edits: []edit{{lifecycle, "downRun.begin", `$d.here.Go(func() { $d.clearHere($ctx, $t) })`, `$d.clearHere($ctx, $t)`}},
		pkg:   lifecycle, tests: []string{"TestAccessIsCutWhateverTheDeliveryDoes"},
	},
	{
		name:  "a teardown waits for a delivery without end",
		edits: []edit{{lifecycle, "downRun.removeDelivery", `context.WithoutCancel(ctx), clearedWithin`, `context.WithoutCancel(ctx), 1000*clearedWithin`}},
		pkg:   lifecycle, tests: []string{"TestAccessIsCutWhateverTheDeliveryDoes"},
	},
	{
		name: "what is mounted in a delivery is removed",
		edits: []edit{
			{"internal/credentials", "openSameMount", `Resolve: unix.RESOLVE_NO_XDEV`, `Resolve: 0`},
			{"internal/credentials", "clearing.next", `if $full {`, `if $full || errors.Is(err, unix.EBUSY) {`},
		},
		pkg: "internal/credentials", tests: []string{"TestClearingEntersNoMountPoint"},
	},
	{
		name:  "a tree is removed for as long as there is something in it",
		edits: []edit{{"internal/credentials", "clearing.next", `$c.steps < 0`, `false`}},
		pkg:   "internal/credentials", tests: []string{"TestClearingEndsWithItsSteps"},
	},
	{
		name: "the folders of a tree are all held open while it is removed",
		edits: []edit{{"internal/credentials", "Folder.empty", ``, `if err := f.root.RemoveAll("gcloud"); err != nil {
			return err
		}`}},
		pkg: "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name: "a name in a gRPC request leads to another method",
		edits: []edit{{
			grpcapi, "escape", `strings.ReplaceAll(url.PathEscape($s), ":", "%3A")`, `url.PathEscape($s)`,
		}},
		pkg: grpcapi, tests: []string{"TestTargets"},
	},
	{
		name: "errors over gRPC lose their details",
		edits: []edit{{
			grpcapi, "refusal", `$out.Details = append($out.Details, &$detail)`, `_ = &$detail`,
		}},
		pkg: grpcapi, tests: []string{"TestServices", "TestFaults"},
	},
	{
		name: "a method that is gRPC's alone is reached by REST",
		edits: []edit{{
			"emulator/internal/wire", "Server.find", `$m.OverGRPC && grpcMethodOf($r) == ""`, `false && grpcMethodOf($r) == ""`,
		}},
		pkg: grpcapi, tests: []string{"TestStreamingPullRefuses"},
	},
	{
		name: "a run's end while its command works is not recorded",
		edits: []edit{{
			"internal/supervise", "WatchEnd", `_ = recordIn(ctx, $j, $r.ID(), journal.TimeOver{})`, `_ = recordIn`,
		}},
		pkg: "internal/supervise", tests: []string{"TestTheEndIsRecorded"},
	},
	{
		name: "the end of a run is told by a wrong clock",
		edits: []edit{{
			"internal/supervise", "WatchEnd", `left := end.Sub(now().Add(run.ClockAhead()))`, `left := end.Sub(now())`,
		}},
		pkg: "internal/supervise", tests: []string{"TestTheEndByAWrongClock"},
	},
	{
		name: "a run is renewed by a wrong clock",
		edits: []edit{{
			"internal/supervise", "Renewing.Keep", `left := end.Sub(now().Add(run.ClockAhead()))`, `left := end.Sub(now())`,
		}},
		pkg: "internal/supervise", tests: []string{"TestTheEndByAWrongClock"},
	},
	{
		name: "the old end is told during a renewal",
		edits: []edit{{
			"internal/supervise", "WatchEnd", `!latest.Renewing().IsZero()`, `false && !latest.Renewing().IsZero()`,
		}},
		pkg: "internal/supervise", tests: []string{"TestTheEndDuringARenewal"},
	},
	{
		name: "a login that ended is taken for a refusal of the renewal",
		edits: []edit{{
			"internal/supervise", "Renewing.Keep", `fault.Locked, fault.Unauthenticated)`, `fault.Locked)`,
		}},
		pkg: "internal/supervise", tests: []string{"TestRenewingAfterALoginEnded"},
	},
	{
		name:  "a token is recorded while the run is taken down",
		edits: []edit{{"internal/supervise", "recordIn", `!$j.Run().Down.IsZero()`, `false && !$j.Run().Down.IsZero()`}},
		pkg:   "internal/supervise", tests: []string{"TestNothingIsRecordedInATeardown"},
	},
	{
		name:  "the end of a process is recorded while the run is taken down",
		edits: []edit{{"internal/supervise", "recordEnd", `!$j.Run().Down.IsZero()`, `false && !$j.Run().Down.IsZero()`}},
		pkg:   "internal/supervise", tests: []string{"TestNothingIsRecordedInATeardown"},
	},
	{
		name: "that there may be no such project is told before what is lacking",
		edits: []edit{{
			lifecycle, "Engine.perhapsMissing", `append(fault.Hints(err), says, gcloud.ListProjects)...`,
			`says, gcloud.ListProjects`,
		}},
		pkg: lifecycle, tests: []string{"TestAProjectThatDoesNotExist"},
	},
	{
		name:  "of several lengths of keys the last is told",
		edits: []edit{{"internal/grants", "Constraint.Longest", `longest = max(longest, d)`, `longest = d`}},
		pkg:   lifecycle, tests: []string{"TestTheLongestKeyIsTold"},
	},
	{
		name:  "no shorter life is told where keys may not be valid for so long",
		edits: []edit{{lifecycle, "Engine.keysRefused", `longest > 0`, `longest < 0`}},
		pkg:   lifecycle, tests: []string{"TestAKeyThatIsValidForTooLong"},
	},
	{
		name: "the tombstone of another account of the name is the run's",
		edits: []edit{{
			lifecycle, "downRun.isMember", `dead.UniqueID == d.account.UniqueID`, `true || dead.UniqueID == d.account.UniqueID`,
		}},
		pkg: lifecycle, tests: []string{"TestDownLeavesTheTombstoneOfAnother"},
	},
	{
		name: "a sweep follows journals of other clouds",
		edits: []edit{{
			lifecycle, "Engine.Sweep", `run.Opened.Project == p && s.refuse(run.Opened) == nil`, `run.Opened.Project == p`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepLeavesJournalsOfOtherClouds"},
	},
	{
		name:  "a sweep does not name what it cannot read",
		edits: []edit{{lifecycle, "sweeper.tombstones", `s.result.Unread = s.search.Unread`, ``}},
		pkg:   lifecycle, tests: []string{"TestSweepNamesWhatItCannotRead"},
	},
	{
		name:  "one answer proves a grant",
		edits: []edit{{lifecycle, "answersInARow", `answersInARow = 3`, `answersInARow = 1`}},
		pkg:   lifecycle, tests: []string{"TestOneAnswerProvesNothing"},
	},
	{
		name: "a refusal is said before what a sweep has left",
		edits: []edit{{
			lifecycle, "joinIncompleteFirst", `fault.Is($e, fault.Incomplete)`, `false && fault.Is($e, fault.Incomplete)`,
		}},
		pkg: lifecycle, tests: []string{"TestSweepSaysFirstThatSomethingIsLeft"},
	},
	{
		name: "a token in a file is replaced again and again",
		edits: []edit{{
			"internal/credentials", "Refresh.Keep", `max(min(left/2, left-refreshLead), left/4)`, `min(left/2, left-refreshLead)`,
		}},
		pkg: "internal/credentials", tests: []string{"TestRefreshMakesFewTokens"},
	},
	{
		name:  "a token for no second lives for an hour",
		edits: []edit{{"internal/gcp", "Client.ScopedAccessToken", `lifetime < time.Second`, `lifetime < 0`}},
		pkg:   "internal/gcp", tests: []string{"TestNoTokenForNoTime"},
	},
	{
		name:  "a key stays as it is after the end of its run",
		edits: []edit{{"internal/credentials", "Expire", `replace(d, over(d)...)`, `replace(d)`}},
		pkg:   "internal/credentials", tests: []string{"TestExpire"},
	},
	{
		name: "a renewal leaves what makes identity tokens",
		edits: []edit{{
			lifecycle, "renewRun.mayRenew", `(len(o.Audiences) == 0 || slices.Contains(have, mintIDPermission))`, `true`,
		}},
		pkg: lifecycle, tests: []string{"TestRenewKeepsIdentityTokens"},
	},
	{
		name:  "the filter lets keys be added and asked for",
		edits: []edit{{"internal/isolate", "always", `"add_key", "request_key",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets set-uid modes of paths through",
		edits: []edit{{"internal/isolate", "always", `"fchmodat",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets set-uid files be made as nodes",
		edits: []edit{{"internal/isolate", "always", `"mknodat"`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets set-uid modes of files that are opened by their path alone through",
		edits: []edit{{"internal/isolate", "always", `{argument: 1, anyBit: makesFile}, {argument: 2, anyBit: setUID}`, `{argument: 1, anyBit: makesFile}, {argument: 4, anyBit: setUID}`}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets another kernel be loaded",
		edits: []edit{{"internal/isolate", "always", `"kexec_load", "kexec_file_load",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name: "the filter lets what is the machine's own through",
		edits: []edit{{"internal/isolate", "always", `"quotactl", "quotactl_fd", "syslog", "settimeofday",
		"clock_settime",`, ``}},
		pkg: "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets files be opened by their numbers",
		edits: []edit{{"internal/isolate", "always", `"open_by_handle_at",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets text be typed into terminals",
		edits: []edit{{"internal/isolate", "always", `unix.TIOCSTI, unix.TIOCLINUX,`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "the filter lets newer calls mount",
		edits: []edit{{"internal/isolate", "namespaces", `"open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig",`, ``}},
		pkg:   "internal/isolate", tests: []string{"TestFilter"},
	},
	{
		name:  "where there is no Landlock, a command can debug the process that holds the socket to the outside",
		edits: []edit{{"internal/isolate", "Inside", `$err := hideFromCommand()`, `$err := error(nil)`}},
		pkg:   "internal/isolate", tests: []string{"TestHiddenWithoutLandlock"},
	},
	{
		name:  "a command makes another folder its root",
		edits: []edit{{"internal/isolate", "namespaces", `"chroot",`, ``}},
		pkg:   "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name:  "the journals can be shown in a sandbox",
		edits: []edit{{"internal/app", "App.limits", `l.close(state, "taskiam's journals and the emulator's logins")`, `_ = state`}},
		pkg:   "internal/app", tests: []string{"TestLimitsOfTheEnvironment"},
	},
	{
		name: "taskiam itself may be writable",
		edits: []edit{
			{"internal/app", "App.relyOnPrograms", `l.rely(self, "taskiam itself", $elsewhere)`, `_ = $elsewhere`},
			{"internal/app", "App.relyOnPrograms", `strings.Contains(called, "/")`, `called == "/"`},
		},
		pkg: "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name: "what is kept of roles lifts a stop without its seal",
		edits: []edit{{
			"internal/app", "cachedRoles.read",
			`!hmac.Equal($seal, $c.seal($answer)) || `,
			`false && !hmac.Equal($seal, $c.seal($answer)) || `,
		}},
		pkg: "cmd/taskiam", tests: []string{"TestAdversary"},
	},
	{
		name:  "whoever sends a body slowly keeps a connection of the metadata server's",
		edits: []edit{{"internal/metadata", "Server.Serve", `ReadTimeout: readTimeout`, `ReadTimeout: 100 * readTimeout`}},
		pkg:   "internal/metadata", tests: []string{"TestSlowClients"},
	},
	{
		name:  "whoever sends a header slowly keeps a connection of the metadata server's",
		edits: []edit{{"internal/metadata", "Server.Serve", `ReadHeaderTimeout: headerTimeout`, `ReadHeaderTimeout: 0`}},
		pkg:   "internal/metadata", tests: []string{"TestSlowClients"},
	},
	{
		name:  "whoever reads no answer keeps a connection of the metadata server's",
		edits: []edit{{"internal/metadata", "Server.Serve", `WriteTimeout: writeTimeout`, `WriteTimeout: 0`}},
		pkg:   "internal/metadata", tests: []string{"TestSlowClients"},
	},
	{
		name:  "nothing is found of a role that lets its holder climb",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == Escalates {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name:  "nothing is found of a role that gives credentials",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == HandsOutCredentials {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name:  "nothing is found of a role that leaves something that acts after down",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == Outlives {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name:  "nothing is found of a role that destroys",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == Destroys {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name:  "nothing is found of a role that gives access outside of IAM",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == AccessElsewhere {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name:  "nothing is found of a role that runs code under another identity",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == RunsCodeAs {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name:  "nothing is found of a role that runs code",
		edits: []edit{{"internal/review", "grantReview.marked", `if grade == None {`, `if grade == None || mark.Finding == RunsCodeAlone {`}},
		pkg:   "internal/tools/findings", tests: []string{"TestRolesThatGiveMore"},
	},
	{
		name: "an upload goes on without end",
		edits: []edit{{
			"emulator/internal/storage", "findUpload", `!$c.Now.Before($u.Created.Add(sessionPeriod))`, `false`,
		}},
		pkg: "emulator", tests: []string{"TestStorageSession"},
	},
	{
		name:  "the state keeps the addresses of uploads",
		edits: []edit{{"emulator/internal/storage", "beginUpload", `iam.TokenHash($id)`, `$id`}},
		pkg:   "emulator", tests: []string{"TestStorageSession"},
	},
	{
		name: "a bad login is no matter where the address of an upload is there",
		edits: []edit{{
			"emulator/internal/storage", "holder", `$c.Request.Header.Get("Authorization") != ""`, `false`,
		}},
		pkg: "emulator", tests: []string{"TestStorageSession"},
	},
	{
		name:  "a gRPC request for a part of negative length is a panic",
		edits: []edit{{grpcapi, "spanOf", `case $limit < 0:`, `case $limit < 0: _ = make([]byte, $limit)`}},
		pkg:   grpcapi, tests: []string{"FuzzCall"},
	},
	{
		name:  "the calls of a batch have no login of their own",
		edits: []edit{{"emulator/internal/wire", "Server.batched", `maps.Copy($h, $r.Header)`, `maps.Copy($h, http.Header{})`}},
		pkg:   "emulator", tests: []string{"TestStorageBatch"},
	},
	{
		name:  "a batch takes uploads",
		edits: []edit{{"emulator/internal/wire", "Server.batched", `$m.Large ||`, ``}},
		pkg:   "emulator", tests: []string{"TestStorageBatch"},
	},
	{
		name:  "where the requester pays nobody has to",
		edits: []edit{{"emulator/internal/storage", "checkPayer", `!$b.Requester`, `true`}},
		pkg:   "emulator", tests: []string{"TestRequesterPays"},
	},
	{
		name:  "a project pays for whoever names it",
		edits: []edit{{"emulator/internal/wire", "Call.payer", `if $d.Allowed {`, `if $d.Allowed || true {`}},
		pkg:   "emulator", tests: []string{"TestRequesterPays", "TestQuotaProject"},
	},
	{
		name:  "an upload goes on in a project that was shut down",
		edits: []edit{{"emulator/internal/storage", "findUpload", `$p != nil && $p.IsDeleted()`, `$p != nil && false`}},
		pkg:   "emulator", tests: []string{"TestStorageSessionInDeletedProject"},
	},
	{
		name:  "public access prevention prevents nothing",
		edits: []edit{{"emulator/internal/iam", "Company.Decide", `$n.Private && $b.Public()`, `false`}},
		pkg:   "emulator", tests: []string{"TestStoragePublic"},
	},
	{
		name:  "who has no login is among those who have one",
		edits: []edit{{"emulator/internal/iam", "Company.identities", `identity($w.Member): true}`, `identity($w.Member): true, identity(AllAuthenticatedUsers): true}`}},
		pkg:   "emulator", tests: []string{"TestStoragePublic"},
	},
	{
		name:  "a bad login is as good as none",
		edits: []edit{{"emulator/internal/wire", "Server.authenticate", `$h == "" && $c.Method.Open`, `$c.Method.Open`}},
		pkg:   "emulator", tests: []string{"TestStoragePublic", "TestNoLogin"},
	},
	{
		name: "what is uploaded is copied into one piece",
		edits: []edit{{
			"emulator/internal/storage", "continueUpload", `$u.Object.Content.Append($c.Content.Slice($skip, $more))`,
			`$u.Object.Content = wire.NewContent(append($u.Object.Content.Bytes(), $c.Content.Slice($skip, $more).Bytes()...))`,
		}},
		pkg: grpcapi, tests: []string{"TestNothingIsBuffered"},
	},
	{
		name:  "what is uploaded over gRPC is copied for REST",
		edits: []edit{{grpcapi, "call.put", `wire.NewContent($content).Body()`, `io.NopCloser(wire.NewContent($content).Body())`}},
		pkg:   grpcapi, tests: []string{"TestNothingIsBuffered"},
	},
	{
		name:  "an upload survives its account also where it should not",
		edits: []edit{{"emulator/internal/storage", "findUpload", `!$c.Company().Doubts.SessionsJudged`, `true`}},
		pkg:   "emulator", tests: []string{"TestStorageSessionJudged"},
	},
	{
		name:  "a login that is shown under HOME is not looked for",
		edits: []edit{{"internal/supervise", "Sandbox.EmptyHome", `paths.Within($shown, $logins) || paths.Within($logins, $shown)`, `$shown == "" && $logins == ""`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedAsksTheServer"},
	},
	{
		name:  "a file hides the metadata server in a sandbox",
		edits: []edit{{"internal/cli", "commandRun.runChild", `$c.sandbox.EmptyHome()`, `false`}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedAsksTheServer"},
	},
	{
		name: "all accounts sign with one key",
		edits: []edit{{
			"emulator/internal/iamapi", "systemSigner", `if $err != nil {
		return nil, $err
	}`,
			`if $err != nil {
				return nil, $err
			}
			for _, other := range c.State().Accounts {
				if len(other.System) > 0 {
					return other.System[0], nil
				}
			}`,
		}},
		pkg: "emulator", tests: []string{"TestSystemKeyOfEachAccount"},
	},
	{
		name:  "evidence keeps the names of others",
		edits: []edit{{"emulator/evidence", "names.replace", `if w := $n.words[token]; w != ""`, `if w := $n.words[token]; w != "" && false`}},
		pkg:   "emulator/evidence", tests: []string{"TestDescribe"},
	},
	{
		name:  "a downscoped token can do all that its source can",
		edits: []edit{{"emulator/internal/iam", "Company.PrincipalOf", `$p.Scopes, $p.Boundary = $t.Scopes, $t.Boundary`, `$p.Scopes = $t.Scopes`}},
		pkg:   "emulator", tests: []string{"TestDownscope"},
	},
	{
		name: "a boundary takes a bucket for one with a longer name",
		edits: []edit{{
			"emulator/internal/iam", "Company.admits", `!strings.HasPrefix($n.Full, $r.Resource+"/")`, `!strings.HasPrefix($n.Full, $r.Resource)`,
		}},
		pkg: "emulator", tests: []string{"TestDownscope"},
	},
	{
		name: "a condition of a boundary that cannot be evaluated makes permissions available",
		edits: []edit{{
			"emulator/internal/iam", "Company.admits", `return $err == nil && $yes`, `return $err != nil || $yes`,
		}},
		pkg: "emulator", tests: []string{"TestDownscope"},
	},
	{
		name:  "a downscoped token begins its hour anew",
		edits: []edit{{"emulator/internal/iamapi", "downscope", `$lifetime = $source.Expires.Sub($c.Now)`, `_ = $source`}},
		pkg:   "emulator", tests: []string{"TestDownscopeEnds"},
	},
	{
		name:  "a boundary may have more than ten rules",
		edits: []edit{{"emulator/internal/iamapi", "readBoundary", `len($rules) > iam.MaxBoundaryRules`, `false`}},
		pkg:   "emulator", tests: []string{"TestDownscopeRefuses"},
	},
	{
		name: "a certification that is interrupted takes nothing away",
		edits: []edit{{
			"internal/certify", "Survey.Certify",
			`context.WithTimeout(context.WithoutCancel($ctx), cleanLimit)`, `context.WithTimeout($ctx, cleanLimit)`,
		}},
		pkg: "internal/certify", tests: []string{"TestInterruptedLeavesNothing"},
	},
	{
		name:  "a certification writes whatever is in its report",
		edits: []edit{{"internal/certify", "Report.Write", `what != ""`, `what != "" && false`}},
		pkg:   "internal/certify", tests: []string{"TestNothingIsBetrayed"},
	},
	{
		name:  "a certification begins in a project that is not empty",
		edits: []edit{{"internal/certify", "Look", `len(there.foreign) > 0`, `len(there.foreign) > 999`}},
		pkg:   "internal/certify", tests: []string{"TestRefusesAProjectThatIsNotEmpty"},
	},
	{
		name:  "the proxy follows the inner Host",
		edits: []edit{{egressPkg, "target.names", ``, `return true;`}},
		pkg:   egressPkg, tests: []string{"TestWhatIsInsideAgreesWithTheConnect"},
	},
	{
		name:  "a request for another host passes in absolute form",
		edits: []edit{{egressPkg, "wellFormed", `$r.URL.IsAbs() || $r.URL.Host != "" ||`, ``}},
		pkg:   egressPkg, tests: []string{"TestWhatIsInsideAgreesWithTheConnect"},
	},
	{
		name:  "the TLS greeting may name another host",
		edits: []edit{{egressPkg, "Proxy.connect", `!strings.EqualFold($hello.ServerName, $t.host)`, `$hello == nil`}},
		pkg:   egressPkg, tests: []string{"TestWhatIsInsideAgreesWithTheConnect"},
	},
	{
		name:  "what could not be recorded of what was called is lost",
		edits: []edit{{"internal/supervise", "usage.record", `$err != nil`, `$err != nil && false`}},
		pkg:   "internal/supervise", tests: []string{"TestUsage"},
	},
	{
		name:  "a command can fill the journal with what it calls",
		edits: []edit{{"internal/supervise", "usage.count", `len($u.known) == maxUsedKinds`, `false`}},
		pkg:   "internal/supervise", tests: []string{"TestUsageIsBounded"},
	},
	{
		name:  "a tunnel sends before it counts",
		edits: []edit{{egressPkg, "sendTunnelled", `io.MultiWriter(spent, out)`, `io.MultiWriter(out, spent)`}},
		pkg:   egressPkg, tests: []string{"TestATunnelEndsAtItsBound"},
	},
	{
		name:  "a tunnel with a bound is carried as one without",
		edits: []edit{{egressPkg, "spending.limited", ``, `return false;`}},
		pkg:   egressPkg, tests: []string{"TestATunnelEndsAtItsBound"},
	},
	{
		name:  "a tunnel is not looked into",
		edits: []edit{{egressPkg, "Proxy.tunnel", `$err != nil || $host != $c.to.host`, `$host == "\x00"`}},
		pkg:   egressPkg, tests: []string{"TestTunnel"},
	},
	{
		name:  "a network that nothing enforces is accepted",
		edits: []edit{{"internal/cli", "isolateValue.fits", `$v != isolateClosed && $task.Network != nil`, `false`}},
		pkg:   "internal/cli", tests: []string{"TestFits"},
	},
	{
		name:  "a manifest opens Google's hosts for any login",
		edits: []edit{{"internal/manifest", "hostProblem", `strings.HasSuffix($text, ".googleapis.com")`, `false`}},
		pkg:   "internal/manifest", tests: []string{"TestRefusals"},
	},
	{
		name:  "a host may have the address of a metadata server",
		edits: []edit{{"internal/manifest", "reader.addresses", `slices.ContainsFunc(never, $prefix.Overlaps)`, `false`}},
		pkg:   "internal/manifest", tests: []string{"TestRefusals"},
	},
	{
		name:  "a credential in clear is repeated",
		edits: []edit{{"internal/manifest", "fromProblem", `return "from says where a credential is, and never is the credential: " + forms`, `return text + " is not one of " + forms`}},
		pkg:   "internal/manifest", tests: []string{"TestRefusalsRepeatNoCredential"},
	},
	{
		name:  "the bytes of a manifest's hosts are not bounded",
		edits: []edit{{"internal/app", "reachOf", `$cfg.MaxUpload = $n.MaxUpload`, ``}},
		pkg:   "cmd/taskiam", tests: []string{"TestIsolatedClosedNetwork"},
	},
	{
		name:  "every address may be reached",
		edits: []edit{{egressPkg, "isPublic", ``, `return true;`}},
		pkg:   egressPkg, tests: []string{"TestConnectLeadsToItsHostAlone"},
	},
	{
		name: "one good address makes the others good",
		edits: []edit{{egressPkg, "Proxy.dialHost", `if !allowed {
			return nil, &addressError{host, a}
		}`, `if allowed { break }`}},
		pkg: egressPkg, tests: []string{"TestConnectLeadsToItsHostAlone"},
	},
	{
		name:  "every port may be reached",
		edits: []edit{{egressPkg, "Proxy.targetOf", `port != $t.rule.port()`, `port == 0`}},
		pkg:   egressPkg, tests: []string{"TestConnectLeadsToItsHostAlone"},
	},
	{
		name:  "every host may be reached",
		edits: []edit{{egressPkg, "Proxy.targetOf", `case !isGoogle(host):`, `case host == "":`}},
		pkg:   egressPkg, tests: []string{"TestConnectLeadsToItsHostAlone"},
	},
	{
		name:  "another identity in Authorization is left out",
		edits: []edit{{egressPkg, "Proxy.identity", `len(values) == 1`, `len(values) == 1 && false`}},
		pkg:   egressPkg, tests: []string{"TestTheTokenIsPutInPlaceOfThePlaceholder"},
	},
	{
		name:  "one of two identities will do",
		edits: []edit{{egressPkg, "Proxy.identity", `len(values) == 1`, `len(values) > 0`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name:  "any token is taken for the placeholder",
		edits: []edit{{egressPkg, "Proxy.identity", `same(value, p.cfg.Placeholder)`, `value != ""`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name: "an identity in a field of its own passes",
		edits: []edit{
			{egressPkg, "Proxy.identity", `case identityHeaders[name]:`, `case false:`},
			{egressPkg, "Proxy.identity", `strings.HasPrefix(lower, "x-goog-"),`, `false,`},
		},
		pkg: egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name:  "an identity in the address passes",
		edits: []edit{{egressPkg, "identityParameter", ``, `return nil;`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name:  "a form passes to Google",
		edits: []edit{{egressPkg, "Proxy.namesIn", `strings.HasPrefix($content, "multipart/form-data")`, `false`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name: "a request without an identity passes",
		edits: []edit{{egressPkg, "Proxy.judgeGoogle", `if !ours {
		if`, `if false {
		if`}},
		pkg: egressPkg, tests: []string{"TestNobodyPassesWithoutAnIdentity"},
	},
	{
		name:  "the method may be overridden",
		edits: []edit{{egressPkg, "wellFormedFields", `strings.Contains(folded, "methodoverride") ||`, ``}},
		pkg:   egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name:  "any resource may be named",
		edits: []edit{{egressPkg, "Proxy.namesIn", `!p.reach.has($n)`, `false`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "a name that only begins like a granted one passes",
		edits: []edit{{egressPkg, "named.covers", `strings.HasPrefix(n.name, $a.name+"/")`, `strings.HasPrefix(n.name, $a.name)`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "where a copy goes is not looked at",
		edits: []edit{{egressPkg, "readVerb", `append(names, $to...)`, `append(names, $to[:0]...)`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "where a copy comes from is not looked at",
		edits: []edit{{egressPkg, "readObject", `names = append(names, bucket($from))`, ``}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "calls may be billed to anybody",
		edits: []edit{{egressPkg, "Proxy.mayBill", `!p.reach.bills($project)`, `false`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "bodies are read with their spelling",
		edits: []edit{{egressPkg, "value", `fold(key.(string))`, `key.(string)`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "a key that is there twice counts once",
		edits: []edit{{egressPkg, "value", `twice {`, `twice && false {`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "the text of queries is not read",
		edits: []edit{{egressPkg, "queries", `*names = append(*names, $more...)`, `_ = $more`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "queries in another language pass",
		edits: []edit{{egressPkg, "queries", `key == "query" && (!$said || $legacy)`, `$said && $legacy && false`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "a comment ends at the end of a query",
		edits: []edit{{egressPkg, "between", `return end + 4`, `return len(query)`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "queries made while they run pass",
		edits: []edit{{egressPkg, "unread", `case !slices.Contains(statements, upper):`, `case false:`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "a subscription may push to any address",
		edits: []edit{{egressPkg, "restService.read", `key != ""`, `key == "\x00"`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "a key of an account may be made",
		edits: []edit{{egressPkg, "readIAM", `len(q.path) > 5`, `len(q.path) > 99`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "hosts may be written to",
		edits: []edit{{egressPkg, "reads", ``, `return true;`}},
		pkg:   egressPkg, tests: []string{"TestHostsAreForReading"},
	},
	{
		name:  "a host that is read from gets a login",
		edits: []edit{{egressPkg, "Proxy.judgeHost", `carriesLogin(name) && !readHeaders[name]`, `false`}},
		pkg:   egressPkg, tests: []string{"TestHostsAreForReading"},
	},
	{
		name:  "a host that is read from gets every field",
		edits: []edit{{egressPkg, "Proxy.judgeHost", `return &pass{header: func(name string) bool { return readHeaders[name] }}, nil`, `return &pass{header: func(name string) bool { return true }}, nil`}},
		pkg:   egressPkg, tests: []string{"TestHostsAreForReading"},
	},
	{
		name:  "a host that is read from gets a connection for both directions",
		edits: []edit{{egressPkg, "Proxy.judgeHost", `case upgrade:`, `case upgrade && false:`}},
		pkg:   egressPkg, tests: []string{"TestHostsAreForReading"},
	},
	{
		name:  "another credential goes where one is added",
		edits: []edit{{egressPkg, "rule.onlyOurs", ``, `return nil;`}},
		pkg:   egressPkg, tests: []string{"TestACredentialIsAddedOutside"},
	},
	{
		name:  "a credential that was added comes back in a field",
		edits: []edit{{egressPkg, "Proxy.review", `if inFields(needles, resp.Header) {`, `if false {`}},
		pkg:   egressPkg, tests: []string{"TestACredentialIsAddedOutside"},
	},
	{
		name:  "a credential that was added comes back in parts",
		edits: []edit{{egressPkg, "scanner.fill", `keep = begun(s.needles, window)`, ``}},
		pkg:   egressPkg, tests: []string{"FuzzScanner"},
	},
	{
		name:  "the address of an upload comes in",
		edits: []edit{{egressPkg, "Proxy.hideAddress", ``, `return nil;`}},
		pkg:   egressPkg, tests: []string{"TestTheAddressOfAnUploadStaysOutside"},
	},
	{
		name:  "an upload goes on after the end",
		edits: []edit{{egressPkg, "Proxy.cancelSessions", ``, `return nil;`}},
		pkg:   egressPkg, tests: []string{"TestTheAddressOfAnUploadStaysOutside"},
	},
	{
		name:  "another's upload may be gone on with",
		edits: []edit{{egressPkg, "Proxy.resume", `$s == nil || $s.host != $t.host`, `false`}},
		pkg:   egressPkg, tests: []string{"TestNoOtherIdentityPasses"},
	},
	{
		name:  "what is sent is not counted",
		edits: []edit{{egressPkg, "spending.take", `$most > 0 && $all > $most`, `$most > 0 && $all < 0`}},
		pkg:   egressPkg, tests: []string{"TestMaxUpload"},
	},
	{
		name:  "what is sent to one host is not counted",
		edits: []edit{{egressPkg, "spending.take", `s.host.MaxUpload > 0 && $to > s.host.MaxUpload`, `$to < 0`}},
		pkg:   egressPkg, tests: []string{"TestMaxUpload"},
	},
	{
		name:  "the proxy's CA is good for every host",
		edits: []edit{{egressPkg, "newAuthority", `below.PermittedDNSDomainsCritical, below.PermittedDNSDomains = true, domains`, `_ = domains`}},
		pkg:   egressPkg, tests: []string{"TestTheAuthorityIsForItsHosts"},
	},
	{
		name:  "every field of a header goes on to Google",
		edits: []edit{{egressPkg, "passesToGoogle", ``, `return true;`}},
		pkg:   egressPkg, tests: []string{"TestTheTokenIsPutInPlaceOfThePlaceholder"},
	},
	{
		name:  "a subscription may put what arrives into any table",
		edits: []edit{{egressPkg, "pubsub", `"bigqueryconfig", "cloudstorageconfig",`, ``}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "a function of BigQuery's may call any address",
		edits: []edit{{egressPkg, "readBigQuery", `"remotefunctionoptions",`, ``}},
		pkg:   egressPkg, tests: []string{"TestNoOtherResourcePasses"},
	},
	{
		name:  "the log of the way out has no bound",
		edits: []edit{{"internal/supervise", "lines.take", `l.left--`, ``}},
		pkg:   "internal/supervise", tests: []string{"TestLogOfTheWayOutIsBounded"},
	},
	{
		name:  "tokens are handed out after down while the command goes on",
		edits: []edit{{"internal/supervise", "TokenKeeper.gone", `return errors.Is($err, os.ErrNotExist) &&`, `return $err == nil &&`}},
		pkg:   "internal/supervise", tests: []string{"TestNoTokensOfARunThatIsDown"},
	},
	{
		name:  "a signed URL has no end",
		edits: []edit{{"emulator/internal/storage", "signature.checkTimes", `!$now.Before($end)`, `false`}},
		pkg:   "emulator", tests: []string{"TestSignedURL"},
	},
	{
		name:  "a signed URL is good whoever has signed it",
		edits: []edit{{"emulator/internal/storage", "signature.verify", `$a.Signed($sum[:], $s.value, $c.Now)`, `len($sum) > 0 || $a != nil`}},
		pkg:   "emulator", tests: []string{"TestSignedURL"},
	},
	{
		name: "a signed URL outlives the account's being disabled",
		edits: []edit{{
			"emulator/internal/storage", "signature.verify",
			`$who := $c.Company().PrincipalOf(&iam.AccessToken{Account: $a.UniqueID}, $c.Now)`,
			`$who := &iam.Principal{Member: $a.Member(), Email: $a.Email, Account: $a}`,
		}},
		pkg: "emulator", tests: []string{"TestSignedURL"},
	},
	{
		name:  "what a signed URL says of the content is not held against it",
		edits: []edit{{"emulator/internal/storage", "signature.payload", `hex.EncodeToString($sum.Sum(nil)) != $said`, `false`}},
		pkg:   "emulator", tests: []string{"TestSignedURL"},
	},
	{
		name:  "a header that nobody signed passes",
		edits: []edit{{"emulator/internal/storage", "signature.toSign", `strings.HasPrefix($lower, "x-goog-")`, `false`}},
		pkg:   "emulator", tests: []string{"TestSignedURL"},
	},
	{
		name:  "an HMAC key signs that was made inactive",
		edits: []edit{{"emulator/internal/storage", "signature.verifyHMAC", `$k == nil || $k.State != activeKey`, `$k == nil`}},
		pkg:   "emulator", tests: []string{"TestHMACKeys"},
	},
	{
		name: "an HMAC key outlives its account",
		edits: []edit{{
			"emulator/internal/storage", "signature.verifyHMAC",
			`$who := $c.Company().PrincipalOf(&iam.AccessToken{Account: $k.Account}, $c.Now)`,
			`$who := &iam.Principal{Member: "serviceAccount:" + $k.Email, Email: $k.Email, Account: $c.State().Accounts[$k.Account]}`,
		}},
		pkg: "emulator", tests: []string{"TestHMACKeys"},
	},
	{
		name:  "a signature is good without the secret",
		edits: []edit{{"emulator/internal/storage", "signature.verifyHMAC", `subtle.ConstantTimeCompare(macOf($key, $text), $s.value) == 1`, `subtle.ConstantTimeCompare(macOf($key, $text), $s.value) >= 0`}},
		pkg:   "emulator", tests: []string{"TestHMACKeys"},
	},
	{
		name:  "a deleted API key is still good",
		edits: []edit{{"emulator/internal/apikeys", "known", `!$k.Deleted.IsZero()`, `false`}},
		pkg:   "emulator", tests: []string{"TestAPIKeyOpensNothing"},
	},
	{
		name:  "a good login has a bad API key pass",
		edits: []edit{{"emulator/internal/wire", "Server.authenticate", `$err := $c.readKeys(); $err != nil`, `$err := $c.readKeys(); $err != nil && $c.Request.Header.Get("Authorization") == ""`}},
		pkg:   "emulator", tests: []string{"TestAPIKeyOpensNothing"},
	},
	{
		name:  "whoever may see an API key is shown its string",
		edits: []edit{{"emulator/internal/apikeys", "getKey", `return $k.show($p), nil`, `m := $k.show($p); m["keyString"] = $k.String; return m, nil`}},
		pkg:   "emulator", tests: []string{"TestAPIKeyString"},
	},
}
