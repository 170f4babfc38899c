"""The search of Parameterized AP Loss: a policy over its functions, and the files of a search.

A search is rounds of samples. `rounds` says what each step reads and writes, `policy` how a round
changes the policy, `functions` what the numbers of a sample mean. The trainings between are
`rankdet.training.proxy`'s; the workflow runs each as a job of its own.
"""
