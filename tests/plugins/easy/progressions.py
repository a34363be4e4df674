from pipeline import Problem


class Progressions(Problem):
    """The most numbers of 1..n with no three in arithmetic progression."""

    arity = 3

    def elements(self, n):
        return [(k,) for k in range(1, n + 1)]

    def forbidden(self, a, b, c):
        return a[0] + c[0] == 2 * b[0] or a[0] + b[0] == 2 * c[0] or b[0] + c[0] == 2 * a[0]
