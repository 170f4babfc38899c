"""The search of Parameterized AP Loss: a policy over its functions, and the files of a search.

A search consists of rounds of samples. `rounds` defines what each step reads and writes, `policy`
how a round updates the policy, and `functions` how a sample is decoded. The proxy trainings are in
`rankdet.search.proxy`; the workflow runs each one as a separate job.
"""
