"""The laws that every module obeys, for the library's modules and for yours."""

try:
    from torchzero.testing import strategies as strategies
    from torchzero.testing.battery import LAWS as LAWS
    from torchzero.testing.battery import applies as applies
    from torchzero.testing.battery import check_law as check_law
    from torchzero.testing.battery import check_module as check_module
    from torchzero.testing.differences import LawError as LawError
except ModuleNotFoundError as error:
    if error.name != "hypothesis":
        raise
    remedy = "torchzero.testing needs hypothesis: pip install hypothesis"
    raise ModuleNotFoundError(remedy, name="hypothesis") from error
