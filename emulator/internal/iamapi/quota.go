package iamapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// spendWrite counts a write of the IAM API; the creation of an account counts for a second limit too.
func spendWrite(c *wire.Call, q *wire.Usage) error {
	project := quotaProject(c)
	if c.Method.ID == "iam.projects.serviceAccounts.create" &&
		!q.Take("creations "+project+" "+c.Caller.Member, q.Limits.AccountCreations, time.Minute, c.Now) {
		return overQuota(c, "CreateServiceAccountPerMinutePerProject", project)
	}
	if !q.Take("writes "+project, q.Limits.IAMWrites, time.Minute, c.Now) {
		return overQuota(c, "WriteRequestsPerMinutePerProject", project)
	}
	return nil
}

// quotaProject is the project that a call to the IAM API counts for, "" if it is none's.
func quotaProject(c *wire.Call) string {
	id := c.Vars["project"]
	if id == "-" {
		if a := c.State().Accounts[c.Vars["account"]]; a != nil {
			return a.ProjectID
		}
		return iam.ProjectOfEmail(c.Vars["account"])
	}
	if p := c.State().ProjectBy(id); p != nil {
		return p.ID
	}
	return id
}

// overQuota is the 429 of a quota that is counted for a project.
func overQuota(c *wire.Call, limit, project string) error {
	number := project
	if p := c.State().ProjectBy(project); p != nil {
		number = p.Number
	}
	service, _, _ := strings.Cut(c.Method.Host, ".")
	e := wire.Fail(http.StatusTooManyRequests, "RESOURCE_EXHAUSTED", "rateLimitExceeded",
		"Quota exceeded for quota metric '%s' and limit '%s' of service '%s' for consumer 'project_number:%s'.",
		service+".googleapis.com/write_requests", limit, c.Method.Host, number)
	return e.WithDetails(wire.ErrorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]string{
		"service": c.Method.Host, "quota_limit": limit, "consumer": "projects/" + number,
	}))
}
