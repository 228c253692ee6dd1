"""Which moves may start now, and why not the others? The pure core: facts and an instant in, a plan out.

There is no I/O here, no clock, no log and no async. `now` enters once a round as an argument; what a rule wants to
remember is a fact that was loaded, what it wants to do is an entry of the plan. Five calls make a decision:
candidates, gates, pace, reactions, plan. An error of a rule becomes `unknown`, which holds; it never opens a gate and
never clears desired state.

Source: DESIGN section 4; core.md sections 3, 4 and 9.
"""
