"""What does a person see? Server-rendered pages: one file per page, one template of the same name.

Pages are read through the store and written through the same doors as the API. They work without script; htmx and
server-sent events make them live. A held target always says which rule holds, since when, until when, and who can
act.

    sign_in  terminal  workspaces                         the way in
    fleet  deployments         what runs where, and what waits and why
    target  version            why one target is where it is; what one version went through
    rollouts  steer            how far a change is, wave by wave; pause it, speed it up, promote it, give it up
    approvals  approval        what a person is asked
    job_list  jobs  ledger     what was done, and what happened
    verification  verification_word                       what was measured, and what people say of it
    task  task_answer          what a job asks of a person, and what they say
    freezes  freeze  extend  thaw                         stopping, and going on
    incidents  resolve         what burns outside, and ending that
    overrides  override  ending                           steering by hand, and ending that
    forecast  what_if                                     when targets could start; what a policy would change
    subscriptions  subscription                           who is told what happens, and what became of it
    people                                                who may do what, and by which keys
    refusal                    what did not work

`visit.py` is what every page of a workspace begins with, `rendering.py` how it ends; `holds.py` and `telling.py` put
verdicts and ledger entries into words; `live.py` keeps an open page true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from interlock.console import (
    approval,
    approvals,
    deployments,
    ending,
    extend,
    fleet,
    forecast,
    freeze,
    freezes,
    incidents,
    job_list,
    jobs,
    ledger,
    live,
    override,
    overrides,
    people,
    resolve,
    rollouts,
    sign_in,
    steer,
    subscription,
    subscriptions,
    target,
    task_answer,
    terminal,
    thaw,
    verification,
    verification_word,
    version,
    what_if,
    workspaces,
)
from interlock.console.refusal import HANDLED, refuse
from interlock.console.static_files import StaticFiles
from interlock.console.visit import in_workspace
from interlock.outside.http import guarded_http
from interlock.settings import Settings
from interlock.store.sign_ins import GROUP_PREFIX, Admission
from interlock.store.tx import Store
from interlock.web.raw_path import allow_segments

if TYPE_CHECKING:
    from interlock.outside.oidc import IdentityProvider

W = "/w/{workspace:segment}"


def build_console(store: Store, settings: Settings, *, provider: IdentityProvider | None = None) -> Starlette:
    """The console, to be mounted at `/` beside the API.

    Takes: `provider` is whom people sign in through; None: with keys alone.
    """
    allow_segments()
    console = Starlette(
        routes=[
            Route("/", workspaces.go_on),
            Route("/workspaces", workspaces.show),
            Route("/sign-in", sign_in.show),
            Route("/sign-in", sign_in.enter, methods=["POST"]),
            Route("/sign-in/oidc", sign_in.go_to_provider),
            Route(sign_in.CALLBACK, sign_in.come_back),
            Route("/login", terminal.show),
            Route("/login", terminal.allow, methods=["POST"]),
            Route("/sign-out", sign_in.leave, methods=["POST"]),
            Route(W, in_workspace(fleet.show)),
            Route(W + "/live", in_workspace(live.follow, followed=True)),
            Route(W + "/deployments/{deployment:segment}", in_workspace(deployments.show)),
            Route(W + "/deployments/{deployment:segment}/forecast", in_workspace(forecast.show)),
            Route(W + "/what-if", in_workspace(what_if.show)),
            Route(W + "/what-if", in_workspace(what_if.ask), methods=["POST"]),
            Route(W + "/what-if/{question:segment}", in_workspace(what_if.answer)),
            Route(W + "/targets/{target:segment}", in_workspace(target.show)),
            Route(W + "/versions/{version:segment}", in_workspace(version.show)),
            Route(W + "/rollouts/{rollout:segment}", in_workspace(rollouts.show)),
            Route(W + "/rollouts/{rollout:segment}/{step:segment}", in_workspace(steer.show)),
            Route(W + "/rollouts/{rollout:segment}/{step:segment}", in_workspace(steer.save), methods=["POST"]),
            Route(W + "/approvals", in_workspace(approvals.show)),
            Route(W + "/approvals/{request:segment}", in_workspace(approval.show)),
            Route(W + "/approvals/{request:segment}", in_workspace(approval.answer), methods=["POST"]),
            Route(W + "/jobs", in_workspace(job_list.show)),
            Route(W + "/jobs/{job:segment}", in_workspace(jobs.show)),
            Route(W + "/verifications/{verification:segment}", in_workspace(verification.show)),
            Route(W + "/verifications/{verification:segment}/{word:segment}", in_workspace(verification_word.show)),
            Route(
                W + "/verifications/{verification:segment}/{word:segment}",
                in_workspace(verification_word.save),
                methods=["POST"],
            ),
            Route(W + "/jobs/{job:segment}/task/{step:segment}", in_workspace(task_answer.save), methods=["POST"]),
            Route(W + "/jobs/{id:segment}/cancel", in_workspace(ending.show)),
            Route(W + "/jobs/{id:segment}/cancel", in_workspace(ending.save), methods=["POST"]),
            Route(W + "/overrides", in_workspace(overrides.show)),
            Route(W + "/overrides/new/{kind:segment}", in_workspace(override.show)),
            Route(W + "/overrides/new/{kind:segment}", in_workspace(override.save), methods=["POST"]),
            Route(W + "/overrides/{kind:segment}/{id:segment}/{step:segment}", in_workspace(ending.show)),
            Route(
                W + "/overrides/{kind:segment}/{id:segment}/{step:segment}", in_workspace(ending.save), methods=["POST"]
            ),
            Route(W + "/people", in_workspace(people.show)),
            Route(W + "/people", in_workspace(people.give), methods=["POST"]),
            Route(W + "/people/bindings/{id:segment}/take", in_workspace(people.take), methods=["POST"]),
            Route(W + "/people/members/{id:segment}/remove", in_workspace(people.remove), methods=["POST"]),
            Route(W + "/people/keys", in_workspace(people.make_key), methods=["POST"]),
            Route(W + "/people/keys/{id:segment}/end", in_workspace(people.end_key), methods=["POST"]),
            Route(W + "/ledger", in_workspace(ledger.show)),
            Route(W + "/subscriptions", in_workspace(subscriptions.show)),
            Route(W + "/subscriptions", in_workspace(subscription.create), methods=["POST"]),
            Route(W + "/subscriptions/new", in_workspace(subscription.new)),
            Route(W + "/subscriptions/{subscription:segment}", in_workspace(subscription.show)),
            Route(
                W + "/subscriptions/{subscription:segment}/{step:segment}",
                in_workspace(subscription.steer),
                methods=["POST"],
            ),
            Route(
                W + "/subscriptions/{subscription:segment}/deliveries/{delivery:segment}/{step:segment}",
                in_workspace(subscription.steer_delivery),
                methods=["POST"],
            ),
            Route(W + "/incidents", in_workspace(incidents.show)),
            Route(W + "/incidents/{incident:segment}/resolve", in_workspace(resolve.show)),
            Route(W + "/incidents/{incident:segment}/resolve", in_workspace(resolve.save), methods=["POST"]),
            Route(W + "/freezes", in_workspace(freezes.show)),
            Route(W + "/freezes/new", in_workspace(freeze.show)),
            Route(W + "/freezes", in_workspace(freeze.save), methods=["POST"]),
            Route(W + "/freezes/{freeze:segment}/extend", in_workspace(extend.show)),
            Route(W + "/freezes/{freeze:segment}/extend", in_workspace(extend.save), methods=["POST"]),
            Route(W + "/freezes/{freeze:segment}/thaw", in_workspace(thaw.show)),
            Route(W + "/freezes/{freeze:segment}/thaw", in_workspace(thaw.save), methods=["POST"]),
            Mount("/static", StaticFiles()),
        ],
        exception_handlers={Exception: refuse, **dict.fromkeys(HANDLED, refuse)},
    )
    console.state.store = store
    console.state.provider = provider
    console.state.provider_name = settings.oidc_name
    console.state.admission = Admission(domains=_words(settings.oidc_domains), admins=_words(settings.oidc_admins))
    console.state.public_url = settings.public_url
    console.state.secure = (settings.public_url or "").startswith("https://")
    console.state.http = guarded_http(settings)
    return console


def _words(text: str) -> frozenset[str]:
    """The words of a setting with commas between; addresses and domains are compared without regard to case."""
    words = (each.strip() for each in text.split(","))
    return frozenset(each if each.startswith(GROUP_PREFIX) else each.lower() for each in words if each)
