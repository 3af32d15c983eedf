// Starts the console.
import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { applyTheme } from './lib/theme.svelte';

applyTheme();
const place = document.getElementById('console');
if (place) mount(App, { target: place });
