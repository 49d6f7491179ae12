# SPDX-License-Identifier: GPL-2.0-or-later
"""A Mercurial extension with the view alone: the tests need no gate and no lane."""

from hg_operator import view

uisetup = view.uisetup
extsetup = view.extsetup
reposetup = view.reposetup
