"""`sorg bench`: the speeds we hold ourselves to, each beside its reference in the same run. docs/bench.md."""
