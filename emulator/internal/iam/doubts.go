package iam

import "time"

// Doubts are the questions that Google's documents leave open, or on which they
// disagree. The zero value of each field is what the emulator takes to be most
// likely; a client that is right only under one answer is not right. In a seed they
// stand in the table "doubts".
type Doubts struct {
	// TombstonesUncounted leaves members of deleted accounts out of a policy's 1,500.
	// The quotas page counts every appearance of a principal and does not speak of
	// deleted ones.
	TombstonesUncounted bool `toml:"tombstones_uncounted" json:"tombstonesUncounted,omitempty"`

	// TombstoneLag is for how many seconds after the deletion of an account policies
	// still read serviceAccount:E in place of deleted:serviceAccount:E?uid=U. Whoever
	// writes such a policy back is refused, whatever was to be changed: one deleted member
	// blocks every writer. That the form changes is documented; when, is not.
	TombstoneLag int `toml:"tombstone_lag" json:"tombstoneLag,omitempty"`

	// TombstoneDays is after how many days the members of a deleted account are purged
	// from policies; 0 means 60. Google says "a maximum of 60 days", the guide of
	// Terraform's provider about 30.
	TombstoneDays int `toml:"tombstone_days" json:"tombstoneDays,omitempty"`

	// LegacyRoleConditions takes conditions on roles/storage.legacy*. That they are
	// refused is said by users, not by the documents.
	LegacyRoleConditions bool `toml:"legacy_role_conditions" json:"legacyRoleConditions,omitempty"`

	// UserOwners lets setIamPolicy make users of the organization owners of a project.
	// The reference of projects.setIamPolicy says that a user must be invited in the
	// console and accept; it also says that users "part of an organization" can be
	// granted the role.
	UserOwners bool `toml:"user_owners" json:"userOwners,omitempty"`

	// DeadTokensUnexplained leaves the ErrorInfo (ACCESS_TOKEN_EXPIRED,
	// ACCOUNT_STATE_INVALID) out of the 401 for a token that is not valid any more. The reasons are
	// listed by Google; which services send them in which case is not.
	DeadTokensUnexplained bool `toml:"dead_tokens_unexplained" json:"deadTokensUnexplained,omitempty"`

	// SelfImpersonationFirst refuses an account that makes a token of itself before it
	// is asked whether it may: FAILED_PRECONDITION in place of PERMISSION_DENIED for an
	// account that is no token creator on itself.
	SelfImpersonationFirst bool `toml:"self_impersonation_first" json:"selfImpersonationFirst,omitempty"`

	// RandomKeyIDs draws the ids of keys. How Google computes them is unknown; without
	// this they are the SHA-1 of the certificate.
	RandomKeyIDs bool `toml:"random_key_ids" json:"randomKeyIDs,omitempty"`

	// SystemKeyHidden leaves the SYSTEM_MANAGED key out of a list of keys of all types.
	// Some recorded lists have it and some have not.
	SystemKeyHidden bool `toml:"system_key_hidden" json:"systemKeyHidden,omitempty"`

	// KeyLimitExhausted refuses the eleventh key as 429 RESOURCE_EXHAUSTED with a
	// RetryInfo of a day, as Google once did, in place of 400 FAILED_PRECONDITION.
	KeyLimitExhausted bool `toml:"key_limit_exhausted" json:"keyLimitExhausted,omitempty"`

	// AccountQuotaPrecondition refuses an account over the quota as 400
	// FAILED_PRECONDITION. The message is known, that it comes as 429 is not certain.
	AccountQuotaPrecondition bool `toml:"account_quota_precondition" json:"accountQuotaPrecondition,omitempty"`

	// UploadRefusalBare leaves the PreconditionFailure out of the refusal of an
	// uploaded key by an organization policy. Its body is published for keys that are
	// created, not for those that are uploaded.
	UploadRefusalBare bool `toml:"upload_refusal_bare" json:"uploadRefusalBare,omitempty"`

	// RoleGraceDays is after how many days a deleted custom role can no longer be
	// undeleted and stops to count; 0 means 7. Google schedules this between 7 and 14.
	RoleGraceDays int `toml:"role_grace_days" json:"roleGraceDays,omitempty"`

	// RoleReuseDays is after how many days the id of a deleted custom role is free
	// again and its bindings are gone; 0 means 44, which Google gives as the most.
	RoleReuseDays int `toml:"role_reuse_days" json:"roleReuseDays,omitempty"`

	// RolePatchPartial answers the change of a custom role with its name, its etag and
	// what was changed, as the documents describe; without this the answer is the whole
	// role, as in recordings.
	RolePatchPartial bool `toml:"role_patch_partial" json:"rolePatchPartial,omitempty"`

	// SessionsJudged asks IAM with each part of a resumable upload, for whoever began it, and ends the upload
	// with their account. Google says that the address of an upload needs no login, and not what becomes of it
	// when whoever began it loses the right.
	SessionsJudged bool `toml:"sessions_judged" json:"sessionsJudged,omitempty"`

	// ProjectTags lets a project's custom role hold the permissions of tag keys and values. They
	// were refused in 2021 (aquasecurity/cloudsploit#978); since then keys can be a project's.
	ProjectTags bool `toml:"project_tags" json:"projectTags,omitempty"`

	// AliasResolved shows conditions a secret's version by its own number where a request calls it
	// latest. Without it they see what the request says; that a resource.name is the one of the
	// request is said for no service, and of aliases nothing is.
	AliasResolved bool `toml:"alias_resolved" json:"aliasResolved,omitempty"`
}

// Day is a day of 24 hours.
const Day = 24 * time.Hour

// days is n days, or the default if n is 0.
func days(n, otherwise int) time.Duration {
	if n == 0 {
		n = otherwise
	}
	return time.Duration(n) * Day
}

// TombstonePeriod is how long policies name a deleted account.
func (d *Doubts) TombstonePeriod() time.Duration { return days(d.TombstoneDays, 60) }
func (d *Doubts) roleGrace() time.Duration       { return days(d.RoleGraceDays, 7) }

// RoleReuse is after how long the id of a deleted role is free again.
func (d *Doubts) RoleReuse() time.Duration { return days(d.RoleReuseDays, 44) }

// Seconds is n seconds.
func Seconds(n int) time.Duration { return time.Duration(n) * time.Second }
