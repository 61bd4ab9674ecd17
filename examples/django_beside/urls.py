from django.urls import path
from views import board, pin

urlpatterns = [path("", board, name="board"), path("pin", pin, name="pin")]
