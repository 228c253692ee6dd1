-- Whom a task asks is written to by the subscription that every workspace begins with, where nobody changed what it tells.

UPDATE subscription SET kinds = kinds || '{job.asked,job.overdue}'
WHERE name = 'approvers' AND kinds = '{approval.requested,approval.given,approval.rejected,approval.withdrawn}';
